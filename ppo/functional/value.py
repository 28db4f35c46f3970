"""Value losses and clips, in network units."""

from __future__ import annotations

import torch
from torch import Tensor


def squared_error(predictions: Tensor, targets: Tensor) -> Tensor:
    """Elementwise squared error, without a half."""
    return (predictions - targets).square()


def huber_error(predictions: Tensor, targets: Tensor, delta: float) -> Tensor:
    """Elementwise Huber loss (1964) times two, so that it equals the squared error near 0."""
    distance = (predictions - targets).abs()
    return torch.where(distance <= delta, distance.square(), 2.0 * delta * distance - delta * delta)


def clip_to_old(predictions: Tensor, old: Tensor, width: Tensor) -> Tensor:
    """`old + clip(predictions - old, -width, width)`: [B, K]."""
    return old + torch.minimum(torch.maximum(predictions - old, -width), width)


def pessimistic(unclipped: Tensor, clipped: Tensor) -> Tensor:
    """The larger of the two losses: gradient is lost only where v left v0 towards the target.

    The form of openai/baselines, CleanRL and most others.
    """
    return torch.maximum(unclipped, clipped)


def blocked(
    predictions: Tensor, old: Tensor, targets: Tensor, width: Tensor, plain: bool
) -> Tensor:
    """Bool [B, K]: the samples whose gradient the clip removes.

    Plain form: every prediction beyond the width. Pessimistic form: those of them where the
    clipped loss is the larger one.
    """
    beyond = (predictions - old).abs() > width
    if plain:
        return beyond
    clipped = clip_to_old(predictions, old, width)
    return beyond & ((clipped - targets).abs() > (predictions - targets).abs())
