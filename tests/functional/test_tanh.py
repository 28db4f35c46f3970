"""The tanh of compiled code is tanh."""

from __future__ import annotations

import torch

from ppo.functional.tanh import RationalTanh

EVERYWHERE = torch.cat([torch.linspace(-12.0, 12.0, 100_001), torch.logspace(-30, 3, 1000)])


def test_values_are_those_of_tanh() -> None:
    values, reference = RationalTanh.apply(EVERYWHERE), EVERYWHERE.double().tanh()
    torch.testing.assert_close(values.double(), reference, rtol=4e-7, atol=0.0)


def test_it_is_odd_bit_for_bit() -> None:
    assert torch.equal(RationalTanh.apply(-EVERYWHERE), -RationalTanh.apply(EVERYWHERE))


def test_gradients_are_those_of_tanh() -> None:
    gradient = torch.func.grad(lambda x: RationalTanh.apply(x).sum())(EVERYWHERE)
    reference = torch.func.grad(lambda x: x.tanh().sum())(EVERYWHERE.double())
    torch.testing.assert_close(gradient.double(), reference, rtol=0.0, atol=1e-6)


def test_infinity_and_nan_are_kept() -> None:
    ends = RationalTanh.apply(torch.tensor([float("inf"), float("-inf"), float("nan")]))
    torch.testing.assert_close(
        ends, torch.tensor([1.0, -1.0, float("nan")]), rtol=4e-7, atol=0.0, equal_nan=True
    )


def test_it_maps_over_an_axis() -> None:
    rows = torch.linspace(-3, 3, 12).reshape(3, 4)
    assert torch.equal(torch.func.vmap(RationalTanh.apply)(rows), RationalTanh.apply(rows))
