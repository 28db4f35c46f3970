"""The clipped surrogate and the distances between two policies."""

from __future__ import annotations

import torch
from torch import Tensor

from ppo.functional.moments import masked_moments, merge_over_ranks


def normalize_advantages(advantages: Tensor, weights: Tensor, over_ranks: bool = False) -> Tensor:
    """Advantages with mean 0 and standard deviation 1 (ddof 0) over the weighted samples.

    There is no additive epsilon, which would break exactness under reward scale: constant
    advantages become 0. Moments are taken in float64, since the square of an advantage of 1e-23 or
    1e20 is no float32.

    Args:
        advantages: [B]. weights: [B] 1 for samples that count.
        over_ranks: over the samples of all processes.
    """
    values, counted = advantages.double(), weights.double()
    moments = masked_moments(values, counted)
    _, mean, variance = merge_over_ranks(*moments) if over_ranks else moments
    centered = (values - mean) * counted
    deviation = variance.sqrt()
    # Below a millionth of the mean, the spread is rounding error of the mean.
    constant = deviation <= 1e-6 * mean.abs()  # False for NaN, which must be seen, not hidden
    safe = torch.where(constant, torch.ones_like(deviation), deviation)
    normalized = torch.where(constant, torch.zeros_like(centered), centered / safe)
    return normalized.to(advantages.dtype)


def clipped_surrogate(ratio: Tensor, advantages: Tensor, epsilon: Tensor | float) -> Tensor:
    """Per-sample policy loss of Schulman et al. 2017 (arXiv 1707.06347, eq. 7), negated: [B]."""
    edge = torch.as_tensor(epsilon, dtype=ratio.dtype, device=ratio.device)
    clipped = torch.clamp(ratio, 1.0 - edge, 1.0 + edge)
    return -torch.minimum(ratio * advantages, clipped * advantages)


def approximate_kl(log_ratio: Tensor) -> Tensor:
    """Per-sample `(r - 1) - log r`, the k3 estimator of KL(old, new) (Schulman 2020): [B]."""
    return torch.expm1(log_ratio) - log_ratio
