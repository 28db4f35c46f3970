"""Interface of every loss: its inputs and its outputs."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ppo.core.data import Batch, Prediction, Rollout
from ppo.networks.distributions import Distribution
from ppo.values.clips import ValueClip
from ppo.values.head import ValueHead
from ppo.values.scale import ValueScale


class Knobs(NamedTuple):
    """Numbers that schedules move, as scalar tensors on the device."""

    learning_rate: Tensor
    clip_epsilon: Tensor
    entropy_coefficient: Tensor


class Parts(NamedTuple):
    """Parts that losses may use beside prediction and batch; made by build.py."""

    distribution: Distribution
    value_head: ValueHead
    value_scale: ValueScale
    value_clip: ValueClip


class Term(NamedTuple):
    """One loss of a minibatch."""

    loss: Tensor  # scalar, a mean over active elements
    metrics: dict[str, Tensor]  # detached scalars by their names in metrics.py


class Loss:
    """One term of the objective.

    `num_outputs` is what a balancer's gradient-scale correction may use; `weight` is fixed.
    """

    name: str
    num_outputs = 1
    weight = 1.0

    def __call__(self, prediction: Prediction, batch: Batch, knobs: Knobs) -> Term:
        raise NotImplementedError

    def targets(self, rollout: Rollout) -> dict[str, Tensor]:
        """Targets [B, ...] by name that the loss needs beside the batch; by default none."""
        return {}

    def target_variance(self, batch: Batch) -> Tensor:
        """The loss of predicting each target's mean, in this loss's unit; NaN if there is none."""
        return torch.full((), torch.nan)
