"""The laws of every value clip, found by discovery."""

import pytest
import torch

from ppo.functional.value import blocked, clip_to_old, pessimistic, squared_error
from ppo.testing import check_value_clip
from ppo.values import CLIPS

STD, SIZE = torch.tensor([300.0], dtype=torch.float64), torch.tensor([30.0])
OLD = torch.tensor([[-1000.0], [-1.0], [0.0], [50.0], [2000.0]])


@pytest.mark.parametrize("kind", CLIPS.names())
def test_it_keeps_the_laws(kind):
    check_value_clip(kind)


@pytest.mark.parametrize("kind", CLIPS.names())
def test_every_clip_but_none_is_one(kind):
    """An infinite width would cost a rounding: `old + (v - old)` is not `v`."""
    made = CLIPS.get(kind)(0.2, 0.0)
    assert made.active == (kind != "none") and made.exact


def test_the_literal_relative_clip_is_the_documented_formula():
    width = CLIPS.get("relative")(0.2, 0.0).width(OLD, STD, SIZE) * SIZE
    v = OLD + torch.tensor([[500.0], [5.0], [1.0], [-5.0], [100.0]])
    ratio = torch.nan_to_num((v - OLD) / OLD.abs(), nan=0.0, posinf=0.0)
    documented = OLD + ratio.clamp(-0.2, 0.2) * OLD.abs()
    torch.testing.assert_close(clip_to_old(v, OLD, width), documented)


def test_the_floor_lets_values_near_zero_move():
    literal = CLIPS.get("relative")(0.2, 0.0).width(OLD, STD, SIZE)
    floored = CLIPS.get("relative")(0.2, 1.0).width(OLD, STD, SIZE)
    assert literal[2] == 0 and torch.isclose(floored[2], torch.tensor([0.2 * 300 / 30]))
    assert literal[4] == floored[4]


@pytest.mark.parametrize("plain", [True, False])
def test_blocked_says_exactly_where_the_gradient_is_zero(plain):
    g = torch.Generator().manual_seed(0)
    old, target = torch.randn(500, 1, generator=g), torch.randn(500, 1, generator=g)
    v = (old + torch.randn(500, 1, generator=g)).requires_grad_()
    width = torch.full_like(old, 0.3)
    clipped = squared_error(clip_to_old(v, old, width), target)
    loss = clipped if plain else pessimistic(squared_error(v, target), clipped)
    loss.sum().backward()
    assert torch.equal(blocked(v.detach(), old, target, width, plain), v.grad == 0)


def test_the_two_forms_are_different_algorithms():
    """A value thrown the wrong way comes back under the pessimistic form alone."""
    old, target = torch.zeros(1, 1), torch.ones(1, 1)
    v, width = torch.full((1, 1), -2.0), torch.full((1, 1), 0.5)
    assert blocked(v, old, target, width, plain=True).item()
    assert not blocked(v, old, target, width, plain=False).item()
