"""The clipped surrogate and the distances between two policies."""

from __future__ import annotations

import torch
from torch import Tensor

from ppo.functional.moments import masked_mean


def normalize_advantages(
    advantages: Tensor, weights: Tensor, floor: Tensor | float = 0.0
) -> Tensor:
    """Advantages with mean 0 and standard deviation 1 over the weighted samples.

    There is no additive epsilon, which would break exactness under reward scale: the standard
    deviation has a relative floor, and constant advantages become 0.

    Args:
        advantages: [B]. weights: [B] 1 for samples that count.
        floor: least standard deviation, in the unit of `advantages`.
    """
    mean = masked_mean(advantages, weights)
    centered = (advantages - mean) * weights
    deviation = masked_mean(centered.square(), weights).sqrt()
    # Below a millionth of the mean, the spread is rounding error of the mean.
    constant = deviation <= 1e-6 * mean.abs()  # False for NaN, which must be seen, not hidden
    divisor = torch.maximum(deviation, torch.as_tensor(floor, dtype=mean.dtype, device=mean.device))
    safe = torch.where(constant, torch.ones_like(divisor), divisor)
    return torch.where(constant, torch.zeros_like(centered), centered / safe)


def clipped_surrogate(ratio: Tensor, advantages: Tensor, epsilon: Tensor | float) -> Tensor:
    """Per-sample policy loss of Schulman et al. 2017 (arXiv 1707.06347, eq. 7), negated: [B]."""
    edge = torch.as_tensor(epsilon, dtype=ratio.dtype, device=ratio.device)
    clipped = torch.clamp(ratio, 1.0 - edge, 1.0 + edge)
    return -torch.minimum(ratio * advantages, clipped * advantages)


def approximate_kl(log_ratio: Tensor) -> Tensor:
    """Per-sample `(r - 1) - log r`, the k3 estimator of KL(old, new) (Schulman 2020): [B]."""
    return torch.expm1(log_ratio) - log_ratio
