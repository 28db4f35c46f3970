"""A batch that the policy cannot learn from is reported, though its critic looks healthy."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from value_tools import ThreeScales, make_learner


class Offset(ThreeScales):
    """Episodes of one step that pay an offset and a few units for the position."""

    component_names = ("reward",)

    def __init__(self, offset: float, reach: float = 4.0) -> None:
        super().__init__()
        self.offset, self.reach = offset, reach

    def rewards(self, state: Tensor, actions: Tensor, next_state: Tensor, ends: Tensor) -> Tensor:
        return self.offset + (self.reach * next_state[:, :1]).round()

    def terminal(self, next_state: Tensor) -> Tensor:
        return torch.ones(next_state.shape[0], dtype=torch.bool)


def events(env: Offset, normalization: str = "minibatch") -> str:
    record = make_learner(f"ppo.normalize_advantages={normalization}", env=env).step()
    assert (record["return_max"] > record["return_min"]) == (env.reach > 0)
    return " ".join(record["events"])


@pytest.mark.parametrize("normalization", ["minibatch", "batch"])
def test_advantages_that_are_all_zero_though_returns_differ_are_an_event(normalization):
    """A few units beside 1e7 are below a millionth: rounding error, as far as one can know."""
    assert "every advantage is 0 although returns differ" in events(Offset(1e7), normalization)


@pytest.mark.parametrize("normalization", ["minibatch", "batch", "none"])
@pytest.mark.parametrize("env", [Offset(0.0), Offset(1e5)])
def test_advantages_that_differ_are_none(env, normalization):
    assert "every advantage is 0" not in events(env, normalization)


def test_returns_that_are_all_equal_are_none():
    assert "every advantage is 0" not in events(Offset(1e7, reach=0.0))


def test_advantages_in_reward_units_are_told_by_what_the_policy_sees():
    """Not normalized, an offset of 1e7 is a huge advantage of every action, and not 0."""
    assert "every advantage is 0" not in events(Offset(1e7), "none")
