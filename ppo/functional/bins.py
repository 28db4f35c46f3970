"""Values as distributions over bins: targets, expectations and cross-entropy."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def symlog(x: Tensor) -> Tensor:
    """`sign(x) * log(1 + |x|)` (Hafner et al. 2023, arXiv 2301.04104, eq. 9)."""
    return x.sign() * x.abs().log1p()


def symexp(x: Tensor) -> Tensor:
    """The inverse of `symlog`."""
    return x.sign() * x.abs().expm1()


def hl_gauss_targets(targets: Tensor, edges: Tensor, sigma: float) -> Tensor:
    """Probability of each bin under a normal around the target, renormalized over the support.

    Farebrother et al. 2024 (arXiv 2403.03950, section 3.1): `p_i` is the difference of the normal
    CDF at the bin's edges. Targets are clamped to the support.

    Args:
        targets: [...]. edges: [O + 1] ascending. sigma: standard deviation, unit of `edges`.

    Returns:
        [..., O].
    """
    inside = targets.clamp(edges[0], edges[-1]).unsqueeze(-1)
    cdf = 0.5 * (1.0 + torch.erf((edges - inside) / (sigma * math.sqrt(2.0))))
    return (cdf[..., 1:] - cdf[..., :-1]) / (cdf[..., -1:] - cdf[..., :1])


def two_hot_targets(targets: Tensor, centers: Tensor) -> Tensor:
    """Weights on the two bins next to the target, whose expectation is the target.

    Hafner et al. 2023 (arXiv 2301.04104, eq. 11).

    Args:
        targets: [...]. centers: [O] ascending and evenly spaced.

    Returns:
        [..., O].
    """
    step = centers[1] - centers[0]
    position = ((targets - centers[0]) / step).clamp(0, centers.numel() - 1)
    below = position.floor().clamp(max=centers.numel() - 2).long()
    upper = (position - below).unsqueeze(-1)
    weights = torch.zeros(
        *targets.shape, centers.numel(), dtype=targets.dtype, device=targets.device
    )
    weights = weights.scatter(-1, below.unsqueeze(-1), 1.0 - upper)
    return weights.scatter(-1, below.unsqueeze(-1) + 1, upper)


def expectation(logits: Tensor, centers: Tensor) -> Tensor:
    """Mean of the bins' centers under softmax, [...]; exactly 0 for equal logits and even bins.

    Summed symmetrically: centers of opposite sign are added first (as in DreamerV3's code).
    """
    terms = logits.softmax(-1) * centers
    half = centers.numel() // 2
    folded = terms[..., :half] + terms[..., -half:].flip(-1)
    middle = terms[..., half] if centers.numel() % 2 else 0.0
    return folded.sum(-1) + middle


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """`-sum_i targets_i log softmax(logits)_i`, [...]."""
    return -(targets * logits.log_softmax(-1)).sum(-1)
