"""The bootstrap: how far a figure of few samples may lie from the one of all (Efron 1979).

Arrays, not tensors: the reading of runs uses it, and that starts without torch.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
LEVEL = 0.05  # an interval misses the true value that often
RESAMPLES = 2000


def resample(scores: Floats, count: int, draw: np.random.Generator) -> Floats:
    """[count, runs] of scores [runs]: the runs drawn anew."""
    return scores[draw.integers(len(scores), size=(count, len(scores)))]


def percentiles(values: Floats) -> tuple[float, float]:
    """The interval that holds 95 % of a figure's values over the resamples [count]."""
    low, high = np.percentile(values, [100 * LEVEL / 2, 100 * (1 - LEVEL / 2)])
    return float(low), float(high)


def mean_interval(values: Floats, seed: int) -> tuple[float, float] | tuple[None, None]:
    """95 % interval of the mean of values [n], bias-corrected, accelerated (Efron 1987, by scipy).

    The mean twice where all are the same; None where a single value, or none, shows no spread.
    """
    if len(values) < 2:
        return None, None
    if np.ptp(values) == 0:
        mean = float(np.mean(values))
        return mean, mean
    from scipy import stats  # imported here: it takes a second

    draw = np.random.default_rng(seed)
    found = stats.bootstrap(
        (values,), np.mean, n_resamples=RESAMPLES, confidence_level=1 - LEVEL, rng=draw
    )
    low, high = found.confidence_interval
    return float(low), float(high)
