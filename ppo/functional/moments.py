"""Means, centered moments and their merging, without absolute epsilons."""

from __future__ import annotations

import torch
from torch import Tensor

from ppo.core import parallel


def masked_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Mean over the samples with weight, or 0 where there are none.

    Args:
        values: [B] or [B, K]. weights: [B].

    Returns:
        Scalar or [K].
    """
    if values.dim() > weights.dim():
        weights = weights.unsqueeze(-1)
    total = weights.sum(0)
    return (values * weights).sum(0) / torch.clamp(total, min=1.0)


def masked_moments(values: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Count, mean and centered variance in float64 (two passes, so no cancellation).

    Args:
        values: [B] or [B, K]. weights: [B] of 0 and 1.

    Returns:
        count [], mean and variance, [] or [K].
    """
    values, weights = values.double(), weights.double()
    if values.dim() > weights.dim():
        weights = weights.unsqueeze(-1)
    count = weights.sum()
    divisor = torch.clamp(count, min=1.0)
    mean = (values * weights).sum(0) / divisor
    variance = ((values - mean).square() * weights).sum(0) / divisor
    return count, mean, variance


def merge_moments(
    weight_a: Tensor, mean_a: Tensor, var_a: Tensor, weight_b: Tensor, mean_b: Tensor, var_b: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Moments of the union of two weighted samples (Chan, Golub and LeVeque 1979)."""
    total = weight_a + weight_b
    share = weight_b / torch.clamp(total, min=torch.finfo(total.dtype).tiny)
    delta = mean_b - mean_a
    mean = mean_a + share * delta
    variance = var_a + share * (var_b - var_a) + share * (1.0 - share) * delta.square()
    return total, mean, variance


def merge_over_ranks(
    weight: Tensor, mean: Tensor, variance: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Moments of the union of all ranks' samples, merged in rank order so that all agree."""
    if not parallel.is_active():
        return weight, mean, variance
    packed = torch.cat([weight.reshape(1), mean.reshape(-1), variance.reshape(-1)])
    size = mean.numel()
    parts = [
        (part[0], part[1 : 1 + size].view_as(mean), part[1 + size :].view_as(mean))
        for part in parallel.gather(packed)
    ]
    total = parts[0]
    for part in parts[1:]:
        total = merge_moments(*total, *part)
    return total


EPISODE_MEMORY = 0.99  # weight that an episode keeps with each later one


def remember(seen: Tensor, found: Tensor, memory: float = EPISODE_MEMORY) -> None:
    """Adds a batch of episodes to decaying sums, in place: about a hundred episodes by default.

    Args:
        seen, found: [M] sums over episodes; the last entry is their number.
        memory: weight that an episode keeps with each later one.
    """
    seen.mul_(memory ** found[-1]).add_(found)


def explained_variance(targets: Tensor, predictions: Tensor, weights: Tensor) -> Tensor:
    """`1 - Var(R - V) / Var(R)` per component; NaN where the targets do not vary.

    Args:
        targets, predictions: [B, K]. weights: [B].

    Returns:
        [K].
    """
    _, _, target_variance = masked_moments(targets, weights)
    _, _, residual_variance = masked_moments(targets - predictions, weights)
    return explained_share(target_variance, residual_variance)


def explained_share(variance: Tensor, residual: Tensor) -> Tensor:
    """`1 - residual / variance` [K] of two variances [K]; NaN where there is nothing to explain."""
    return torch.where(variance > 0, 1.0 - residual / variance, torch.nan).float()
