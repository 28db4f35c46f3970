"""The cheaper forms of tanh are tanh."""

from __future__ import annotations

import pytest
import torch

from ppo.functional.tanh import LogisticTanh, RationalTanh
from ppo.networks.encoders.mlp import MANY, Tanh

EVERYWHERE = torch.cat([torch.linspace(-12.0, 12.0, 100_001), torch.logspace(-30, 3, 1000)])
BOTH = pytest.mark.parametrize("form", [RationalTanh, LogisticTanh])


def test_values_are_those_of_tanh() -> None:
    reference = EVERYWHERE.double().tanh()
    values = RationalTanh.apply(EVERYWHERE)
    torch.testing.assert_close(values.double(), reference, rtol=4e-7, atol=0.0)
    values = LogisticTanh.apply(EVERYWHERE)
    torch.testing.assert_close(values.double(), reference, rtol=0.0, atol=2e-7)


def test_the_quotient_is_odd_bit_for_bit() -> None:
    assert torch.equal(RationalTanh.apply(-EVERYWHERE), -RationalTanh.apply(EVERYWHERE))


@BOTH
def test_gradients_are_those_of_tanh(form) -> None:
    gradient = torch.func.grad(lambda x: form.apply(x).sum())(EVERYWHERE)
    reference = torch.func.grad(lambda x: x.tanh().sum())(EVERYWHERE.double())
    torch.testing.assert_close(gradient.double(), reference, rtol=0.0, atol=1e-6)
    leaf = EVERYWHERE.clone().requires_grad_()
    form.apply(leaf).sum().backward()
    assert torch.equal(leaf.grad, gradient)


@BOTH
def test_infinity_and_nan_are_kept(form) -> None:
    ends = form.apply(torch.tensor([float("inf"), float("-inf"), float("nan")]))
    torch.testing.assert_close(
        ends, torch.tensor([1.0, -1.0, float("nan")]), rtol=4e-7, atol=0.0, equal_nan=True
    )


@BOTH
def test_it_maps_over_an_axis(form) -> None:
    rows = torch.linspace(-3, 3, 12).reshape(3, 4)
    assert torch.equal(torch.func.vmap(form.apply)(rows), form.apply(rows))


def test_a_layer_of_many_numbers_leaves_its_input_alone() -> None:
    few, many = torch.linspace(-3, 3, MANY - 1), torch.linspace(-3, 3, MANY)
    kept = many.clone()
    assert torch.equal(Tanh()(few), few.tanh())
    assert torch.equal(Tanh()(many), LogisticTanh.apply(many)) and torch.equal(many, kept)
    assert not torch.equal(Tanh()(many), many.tanh())
