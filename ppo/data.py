"""The four things that travel: Step, Rollout, Batch, Prediction.

Letters used in every file: T steps, N environments, B = T*N samples, K reward components,
A action entries, D observation entries. A value is in reward units unless its name ends in
`_norm`, which means network units; only a value scale converts.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Step(NamedTuple):
    """What one step of N environments gives."""

    obs: Tensor  # [N, ...] the observation to act on next (after a reset where an episode ended)
    rewards: Tensor  # [N, K] float32 in the environment's own units
    terminated: Tensor  # [N] bool
    truncated: Tensor  # [N] bool
    final_obs: Tensor  # [N, ...] the state truly reached; equals obs where the episode goes on
    success: Tensor  # [N] float32: 1 or 0 where an episode ended and said so, NaN elsewhere
    valid: Tensor  # [N] bool: False for the dummy step of next-step autoreset


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

    @property
    def ended(self) -> Tensor:
        """[T, N] bool: the step ended its episode."""
        return self.terminated | self.truncated


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

    def select(self, index: Tensor) -> Batch:
        """The samples named by `index` [b]."""
        fields = {name: getattr(self, name)[index] for name in self._fields if name != "targets"}
        return Batch(**fields, targets={name: t[index] for name, t in self.targets.items()})


class Prediction(NamedTuple):
    """What the agent says of B observations."""

    policy: Tensor  # [B, P] parameters of the action distribution
    value_output: Tensor  # [B, K, O] the critic's raw output (O = 1, or bins of a distribution)
    values_norm: Tensor  # [B, K] its expectation in network units
    features: Tensor  # [B, F] what auxiliary heads read
