"""The frame of actions in which imitation learns, and how it moves into the policy."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

NEAR_BOUND = 0.999  # largest size of a squashed action


class ActionFrame:
    """Between actions of the environment and what the actor's output layer gives.

    The network learns standardized actions; `fold` puts their statistics into the output layer,
    so that they are saved with the policy and used wherever it acts.
    """

    def __init__(self, distribution: Any, actions: Tensor) -> None:
        self.distribution = distribution
        self.discrete = bool(distribution.discrete)
        if self.discrete:
            return
        self.squashed = distribution.bounded * (distribution.squash == "tanh")
        inner = self.inner(actions)
        self.mean, self.std = inner.mean(0), inner.std(0, correction=0)
        self.std = torch.where(self.std > 0, self.std, torch.ones_like(self.std))
        deviation = actions.std(0, correction=0)
        self.deviation = torch.where(deviation > 0, deviation, torch.ones_like(deviation))

    def inner(self, actions: Tensor) -> Tensor:
        """What the distribution's mode must be, [..., A]."""
        unit = (actions - self.distribution.center) / self.distribution.half_range
        inside = unit.clamp(-NEAR_BOUND, NEAR_BOUND)
        return torch.where(self.squashed > 0, inside.atanh(), unit)

    def mode(self, output: Tensor) -> Tensor:
        return self.mean + self.std * self.distribution.mode(output)

    def to_env(self, output: Tensor) -> Tensor:
        """Actions in the environment's units, not clipped: clipping would leave no gradient."""
        mode = self.mode(output)
        unit = torch.where(self.squashed > 0, mode.tanh(), mode)
        return self.distribution.center + self.distribution.half_range * unit

    @torch.no_grad()
    def fold(self, layer: nn.Linear) -> None:
        if not self.discrete:
            size = len(self.mean)  # the rows after these hold standard deviations
            layer.weight[:size].mul_(self.std.unsqueeze(-1))
            layer.bias[:size].mul_(self.std).add_(self.mean)
