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
    # Compiled for a GPU, products of a running index have 32 bits; these doubles are exact.
    steps = torch.arange(limit, dtype=torch.float64, device=device) * step
    return (steps % size).long()


def quantiles(values: Tensor, shares: Sequence[float], real: Tensor) -> Tensor:
    """Quantiles over the first axis, interpolated linearly as torch.quantile does.

    Args:
        values: [B] or [B, K], finite. shares: Q numbers from 0 to 1.
        real: [B] bool, the rows that count.

    Returns:
        [Q] or [Q, K]; NaN where no row counts.
    """
    counts = real if values.dim() == 1 else real.unsqueeze(-1)
    ordered = torch.where(counts, values, torch.inf).sort(dim=0).values
    last = (real.sum() - 1).clamp(min=0).double()
    # Ranks stay on the device: how many rows count is not known on the host.
    ranks = torch.stack([share * last for share in shares])
    low, high = (ordered.index_select(0, rank.long()) for rank in (ranks.floor(), ranks.ceil()))
    between = (ranks - ranks.floor()).to(values.dtype)
    return torch.lerp(low, high, between if values.dim() == 1 else between.unsqueeze(-1))
