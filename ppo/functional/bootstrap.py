"""The bootstrap: how far a figure of few samples may lie from the one of all (Efron 1979).

Arrays, not tensors: the reading of runs uses it, and that starts without torch.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
LEVEL = 0.05  # an interval misses the true value that often
RESAMPLES = 2000
_NORMAL = NormalDist()


def resample(scores: Floats, count: int, draw: np.random.Generator) -> Floats:
    """[count, runs] of scores [runs]: the runs drawn anew."""
    return scores[draw.integers(len(scores), size=(count, len(scores)))]


def percentiles(values: Floats) -> tuple[float, float]:
    """The interval that holds 95 % of a figure's values over the resamples [count]."""
    low, high = np.percentile(values, [100 * LEVEL / 2, 100 * (1 - LEVEL / 2)])
    return float(low), float(high)


def mean_interval(values: Floats, seed: int) -> tuple[float, float] | tuple[None, None]:
    """95 % interval of the mean of values [n], bias-corrected and accelerated (BCa, Efron 1987).

    The numbers are those of `scipy.stats.bootstrap`, whose import takes a second of every command.
    The mean twice where all are the same; None where a single value, or none, shows no spread.
    """
    if len(values) < 2:
        return None, None
    mean, width = np.mean(values), np.ptp(values)
    if width == 0:
        return float(mean), float(mean)
    if not np.isfinite(width):
        return math.nan, math.nan
    means = resample(values, RESAMPLES, np.random.default_rng(seed)).mean(-1)
    away = (values - mean) / width  # so that no power of it leaves the range of numbers
    acceleration = (away**3).sum() / (6 * (away**2).sum() ** 1.5)
    below = ((means < mean).mean() + (means <= mean).mean()) / 2
    bias = _NORMAL.inv_cdf(float(np.clip(below, 1 / RESAMPLES, 1 - 1 / RESAMPLES)))
    ends = (bias + _NORMAL.inv_cdf(share) for share in (LEVEL / 2, 1 - LEVEL / 2))
    shares = [100 * _NORMAL.cdf(bias + end / (1 - acceleration * end)) for end in ends]
    low, high = np.percentile(means, shares)
    return float(low), float(high)
