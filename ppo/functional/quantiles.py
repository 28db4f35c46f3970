"""Quantiles that compile in every supported torch (torch.quantile does not before 2.13)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


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
