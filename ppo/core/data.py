"""The four things that travel: Step, Rollout, Batch, Prediction.

Letters used in every file: T steps, N environments, B = T*N samples, K reward components,
A action entries, D observation entries. A value is in reward units unless its name ends in
`_norm`, which means network units; only a value scale converts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

# What a row (one environment in one step) can be; every reader goes by these and by nothing else:
#
#   row    valid  ended  reward  what it is
#   step   yes    no     counts  the episode goes on
#   end    yes    yes    counts  the episode ended, terminated or by its time limit
#   cut    no     yes    0       a fault: the transition is dropped, and the episode, whose last
#                                step was the row before, has no end, no return and no length
#   dummy  no     no     0       next-step autoreset shows the first observation of an episode
#
# A row that is not valid is no step of the task: nothing is learned from it, and nothing is summed
# across it. Its observation is the one that the step before it led to.


def is_end(terminated: Tensor, truncated: Tensor, valid: Tensor) -> Tensor:
    """[...] bool: an episode ended here that is whole, so that its sums mean something."""
    return (terminated | truncated) & valid


def begins_anew(terminated: Tensor, truncated: Tensor, valid: Tensor) -> Tensor:
    """[...] bool: the observation after this row begins an episode (after all but a step)."""
    return terminated | truncated | ~valid


class Step(NamedTuple):
    """What one step of N environments gives: a row of each."""

    obs: Tensor  # [N, ...] the observation to act on next (after a reset where an episode ended)
    rewards: Tensor  # [N, K] float32 in the environment's own units
    terminated: Tensor  # [N] bool
    truncated: Tensor  # [N] bool
    final_obs: Tensor  # [N, ...] the state truly reached; equals obs where the episode goes on
    success: Tensor  # [N] float32: 1 or 0 where an episode ended and reported it, NaN elsewhere
    valid: Tensor  # [N] bool: a step of the task
    # A promise: no episode ended and every row is valid, so that the flags and `success` are those
    # of every such step. Where it is False, nothing is promised.
    uneventful: bool = False

    @property
    def finished(self) -> Tensor:
        """[N] bool: a whole episode ended."""
        return is_end(self.terminated, self.truncated, self.valid)

    @property
    def begins_anew(self) -> Tensor:
        """[N] bool: `obs` is the first observation of an episode."""
        return begins_anew(self.terminated, self.truncated, self.valid)


Cut = tuple[Tensor, Tensor, Tensor]  # steps [C], environments [C], states reached [C, ...]


class Rollout(NamedTuple):
    """T steps of N environments, in reward units. Nothing in it is normalized."""

    obs: Tensor  # [T, N, ...]
    actions: Tensor  # [T, N, A] as the distribution gave them
    log_probs: Tensor  # [T, N]
    values: Tensor  # [T, N, K] reward units
    next_values: Tensor  # [T, N, K] value of the state truly reached
    rewards: Tensor  # [T, N, K] after env.reward_scale
    terminated: Tensor  # [T, N] bool
    truncated: Tensor  # [T, N] bool
    success: Tensor  # [T, N] float32, NaN where unknown
    valid: Tensor  # [T, N] bool
    # With memory: states [T, N, S] before each step, starts [T, N] bool: it begins an episode.
    context: dict[str, Tensor] = {}

    @property
    def ended(self) -> Tensor:
        """[T, N] bool: the episode goes no further than this row."""
        return self.terminated | self.truncated

    @property
    def dummy(self) -> Tensor:
        """[T, N] bool: a next-step autoreset showed a first observation; no step was taken."""
        return ~self.ended & ~self.valid

    @property
    def cut(self) -> Tensor:
        """[T, N] bool: a fault cut the episode before this row, whose transition is dropped."""
        return self.ended & ~self.valid


class Batch(NamedTuple):
    """B samples to learn from, in reward units but for the mixed advantage."""

    obs: Tensor  # [B, ...]
    actions: Tensor  # [B, A]
    old_log_probs: Tensor  # [B]
    old_values: Tensor  # [B, K] reward units
    returns: Tensor  # [B, K] reward units: what the critic is to predict
    advantages: Tensor  # [B] mixed over components
    valid: Tensor  # [B] float32: 1 for samples to learn from
    targets: dict[str, Tensor]  # of auxiliary tasks, by name; masks as <name>_mask
    context: dict[str, Tensor] = {}  # with memory: states [B, S], starts [B]
    length: int = 1  # L: samples are sequences of so many steps, time-major: row l * (B / L) + c

    @property
    def num_sequences(self) -> int:
        """C = B / L; without memory every sample is a sequence of its own."""
        return self.obs.shape[0] // self.length

    def but(self, **fields: Any) -> Batch:
        """This batch with other fields; torch 2.11 cannot compile `_replace` of what it made."""
        return Batch(**{name: fields.get(name, getattr(self, name)) for name in self._fields})

    def select(self, index: Tensor) -> Batch:
        """The sequences named by `index` [c]."""
        if self.length == 1:
            return self.alone(index)
        steps = torch.arange(self.length, device=index.device).unsqueeze(-1)
        rows = (steps * self.num_sequences + index).flatten()
        return self.alone(rows)._replace(length=self.length)

    def alone(self, index: Tensor) -> Batch:
        """The samples named by `index` [b], each a sequence of one step from its own state."""
        return self.map(lambda rows: rows.index_select(0, index))  # faster than rows[index]

    def map(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """Every tensor changed, as single steps."""
        found: dict[str, Any] = {}
        for name in self._fields:
            value = getattr(self, name)
            if isinstance(value, dict):
                found[name] = {key: change(part) for key, part in value.items()}
            elif name != "length":
                found[name] = change(value)
        return Batch(**found)


class Prediction(NamedTuple):
    """The agent's outputs for B observations."""

    policy: Tensor  # [B, P] parameters of the action distribution
    value_output: Tensor  # [B, K, O] the critic's raw output (O = 1, or bins of a distribution)
    values_norm: Tensor  # [B, K] its expectation in network units
    features: Tensor  # [B, F] what auxiliary heads read
