"""How much of a curve of returns is chance, also where each is a mean over many episodes."""

from __future__ import annotations

import numpy as np

from ppo.insight.logs.log import Column

LEAST = 60  # returns, in which a drift can be told from noise (J)
NEIGHBOURS, ROUGH = -0.58, -0.63  # correlation of neighbouring bends: -2/3 for noise, -1/2 for a
# drift (S); below the second it is hardly ever one
LEAP = 3.0  # times the usual bend; what is larger is neither (J)
ROWS = 4  # over which a drift bends twice as much as from row to row (S)
LONGEST = 8  # times these rows that a curve must have (J)
BEND, NORMAL = 0.8, 1.2816  # quantile of the size of bends, and that of normal ones (S)


def noise_of(returns: Column, rows: float, late: bool = False) -> float:
    """Standard deviation of a batch's return by chance, of a curve of means over `rows` batches.

    Such a mean moves by a batch's share of it, and bends whether it rises or not.

    Args:
        late: the curve does not begin with means of few episodes.
    """
    if rows == 1:
        return float(np.std(np.diff(returns))) / np.sqrt(2)
    moved = returns[np.append(True, np.diff(returns) != 0)]  # else no episode has ended
    if len(moved) < 3:
        return 0.0
    rows = max(rows * len(moved) / len(returns), 1.0)
    batches = np.minimum(np.arange(len(moved) - 1) + (rows if late else 1.0), rows)
    bends = np.abs(np.diff(np.diff(moved) * batches))
    return float(np.quantile(bends, BEND)) / NORMAL / 2  # a crash is among few


def drift(returns: Column) -> float:
    """Rows over which a curve drifts as a mean of many does: 1 for noise, whether it rises or not.

    The bends of a drift are larger over more rows.
    """
    if len(returns) < LEAST:
        return 1.0
    if is_rough(returns) or not _drifts(returns, 1, ROWS):
        return 1.0
    rows = ROWS
    while LONGEST * rows <= len(returns) and _drifts(returns, rows, 2 * rows):
        rows *= 2
    return 2.0 * rows


def is_rough(returns: Column, correlation: float = NEIGHBOURS) -> bool:
    """Whether neighbouring bends are those of noise, in a curve that is long enough to tell."""
    if len(returns) < LEAST:
        return False
    limit = LEAP * _bend(returns, 1)
    bends = np.clip(np.diff(returns, 2), -limit, limit)
    return bool(np.mean(bends[1:] * bends[:-1]) <= correlation * np.mean(bends**2))


def _drifts(returns: Column, few: int, many: int) -> bool:
    """Whether bends grow with the rows as those of a drift do, by the root of their ratio: those of
    noise do not, those of a course by its square."""
    grows = _bend(returns, many) / max(_bend(returns, few), 1e-300)
    return bool((many / few) ** 0.25 < grows < (many / few) ** 0.85)


def _bend(returns: Column, rows: int) -> float:
    """Usual size of the bends of a curve over some rows."""
    bends = returns[2 * rows :] - 2 * returns[rows:-rows] + returns[: -2 * rows]
    return float(np.median(np.abs(bends)))
