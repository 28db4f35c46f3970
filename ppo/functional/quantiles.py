"""Quantiles that compile in every supported torch (torch.quantile does not before 2.13)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def spread_index(size: int, limit: int, device: torch.device) -> Tensor:
    """[min(size, limit)] different positions below `size`, spread evenly whatever its divisors.

    Steps of a golden section (rounded to a number without common divisor with `size`) visit every
    position once; their first `limit` leave gaps of three lengths at most (Steinhaus' theorem).
    """
    if size <= limit:
        return torch.arange(size, device=device)
    step = max(1, round(size * 0.6180339887498949))
    while math.gcd(step, size) > 1:
        step += 1
    return torch.arange(limit, device=device) * step % size


def quantiles(values: Tensor, shares: Sequence[float]) -> Tensor:
    """Quantiles over the first axis, interpolated linearly as torch.quantile does.

    Args:
        values: [B] or [B, K], finite. shares: Q numbers from 0 to 1.

    Returns:
        [Q] or [Q, K].
    """
    ordered = values.sort(dim=0).values
    found = []
    for share in shares:
        rank = share * (values.shape[0] - 1)
        low, high = ordered[math.floor(rank)], ordered[math.ceil(rank)]
        found.append(torch.lerp(low, high, rank - math.floor(rank)))
    return torch.stack(found)
