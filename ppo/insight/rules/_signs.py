"""What rules look for in a column: where a condition begins, if it lasts, what is usual.

No rule stands in a module of this name, so that `__init__` holds what a rule is and each file
without an underscore one illness.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ppo.insight.logs.log import Column

JUMP = 10.0  # times all that came before, in std or root error (J)
FALL_BACK = 3  # batches within which it must have passed
HISTORY = 3  # batches before the first jump that can be judged


def onset(mask: NDArray[np.bool_], k: int, n: int) -> int | None:
    """First row of the first stretch of n rows of which k are marked, itself marked."""
    if len(mask) < n:
        return None
    counts = np.convolve(mask.astype(np.int64), np.ones(n, dtype=np.int64))[n - 1 : len(mask)]
    rows = np.flatnonzero(counts >= k)
    if not len(rows):
        return None
    window = np.flatnonzero(mask[rows[0] : rows[0] + n])
    return int(rows[0] + window[0])


def lasting(mask: NDArray[np.bool_], k: int, n: int, share: float = 0.0) -> int | None:
    """As `onset`, for a condition that still holds or that held for `share` of the run."""
    row = onset(mask, k, n)
    if row is None:
        return None
    now = int(mask[-n:].sum()) >= k
    return row if now or (share > 0 and float(mask.mean()) >= share) else None


def median(column: Column) -> float:
    """Median of the finite values, NaN where there are none."""
    _, finite = known(column)
    return float(np.median(finite)) if len(finite) else float("nan")


def spikes(scale: Column) -> list[int]:
    """Rows that exceed all earlier ordinary rows by JUMP and are followed by an ordinary row."""
    rows = np.flatnonzero(np.isfinite(scale) & (scale > 0))
    spikes: list[int] = []
    largest, seen = 0.0, 0
    for place, row in enumerate(rows):
        value = float(scale[row])
        following = scale[rows[place + 1 : place + 1 + FALL_BACK]]
        if seen >= HISTORY and value > JUMP * largest:
            if len(following) == 0 or float(following.min()) < value / JUMP:
                spikes.append(int(row))
                continue
        largest, seen = max(largest, value), seen + 1
    return spikes


def first_finite(column: Column) -> float:
    """The first finite value, or NaN."""
    _, finite = known(column)
    return float(finite[0]) if len(finite) else float("nan")


def known(column: Column) -> tuple[NDArray[np.int64], Column]:
    """Rows and values where the column is finite."""
    rows = np.flatnonzero(np.isfinite(column))
    return rows, column[rows]
