"""Statistics of few seeds: interquartile means, their bootstrap, probability of improvement.

Scores are [runs], of one environment. The figures are those of Agarwal et al. 2021, "Deep
Reinforcement Learning at the Edge of the Statistical Precipice" (NeurIPS 2021). Tests of difference
are Welch's and the paired t-test (Colas et al. 2018, "How Many Random Seeds?"): rank tests cannot
reach 5 % with three seeds, whatever the difference.
"""

from __future__ import annotations

import itertools
import math
import warnings
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ppo.functional.bootstrap import LEVEL, RESAMPLES, percentiles, resample

Scores = NDArray[np.float64]
POWER = 0.8  # that "needs about N more seeds" plans for
TRIM = 0.25  # cut from each end by the interquartile mean


def iqm(scores: ArrayLike) -> float:
    """Interquartile mean: the mean without the lowest and highest quarter."""
    values = np.sort(np.asarray(scores, dtype=np.float64))
    return float(_trimmed(values[None, :])[0]) if len(values) else float("nan")


def _trimmed(values: Scores) -> Scores:
    """Trimmed mean of each row of sorted values; the cut is rounded down, as scipy's trim_mean."""
    cut = int(TRIM * values.shape[1])
    return values[:, cut : values.shape[1] - cut].mean(axis=1)


def iqm_interval(scores: ArrayLike, resamples: int = RESAMPLES) -> tuple[float, float]:
    """95 % percentile interval of the interquartile mean by the bootstrap.

    NaN where there is only one run: one run says nothing about the next.
    """
    values = np.asarray(scores, dtype=np.float64)
    if len(values) < 2:
        return float("nan"), float("nan")
    draws = resample(values, resamples, np.random.default_rng(0))
    return percentiles(_trimmed(np.sort(draws, axis=1)))


def probability_of_improvement(x: ArrayLike, y: ArrayLike) -> float:
    """P(a run of x scores higher than one of y), ties counted half."""
    first, second = np.asarray(x, dtype=np.float64)[:, None], np.asarray(y, dtype=np.float64)
    return float(((first > second) + 0.5 * (first == second)).mean())


@dataclass(frozen=True)
class Difference:
    """x minus y: the mean difference, its interval, and how likely chance alone makes it."""

    mean: float
    low: float
    high: float
    p_value: float
    paired: bool
    more_seeds: int | None  # a side, for it to show; None where it does already, or unknown


def difference(x: ArrayLike, y: ArrayLike, paired: bool = False, tests: int = 1) -> Difference:
    """Welch's t-test of x against y, or the paired one where run i of both has the same seed.

    `more_seeds` is what shows the difference as one of `tests`, at 5 % / `tests` each, which
    Holm's correction never exceeds; p-value and interval are not corrected.

    With fewer than two runs on a side nothing can be told, nor how many would do: p is NaN. Without
    any spread a t-test would take two runs for proof; there the exact permutations count.
    """
    first, second = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    # In a unit of the size of the scores, so that no square of theirs leaves the numbers.
    largest = float(np.abs(np.concatenate([first, second])).max(initial=0.0))
    unit = math.ldexp(0.5, math.frexp(largest)[1])
    found = _difference(first / unit, second / unit, paired, LEVEL / tests)
    ends = {name: unit * getattr(found, name) for name in ("mean", "low", "high")}
    return replace(found, **ends)


def _difference(first: Scores, second: Scores, paired: bool, planned: float) -> Difference:
    mean = float(first.mean() - second.mean()) if len(first) and len(second) else float("nan")
    if min(len(first), len(second)) < 2:
        return Difference(mean, float("nan"), float("nan"), float("nan"), paired, None)
    if paired:
        variance, runs = float((first - second).var(ddof=1)), len(first)
        error = math.sqrt(variance / runs)
    else:
        variance, runs = float(first.var(ddof=1) + second.var(ddof=1)), min(len(first), len(second))
        error = math.sqrt(sum(float(side.var(ddof=1)) / len(side) for side in (first, second)))
    least = 1e-12 * max(abs(float(first.mean())), abs(float(second.mean())))  # rounding
    if error <= least:
        return _without_spread(first, second, paired, planned, least)
    p_value, low, high = _t_test(first, second, paired)
    more = None if p_value < planned else _more_seeds(mean, variance, runs, paired, planned)
    return Difference(mean, low, high, p_value, paired, more)


def _without_spread(
    first: Scores, second: Scores, paired: bool, level: float, least: float
) -> Difference:
    """By the share of all relabelings of the runs that set the two as far apart.

    Only the one at hand and its mirror image do: 2 in the ways to choose a side's runs from both
    sides, or, of pairs whose gaps alone are equal, 2 in the ways to turn them round.
    """
    mean = float(first.mean() - second.mean())
    if abs(mean) <= least:
        return Difference(mean, mean, mean, 1.0, paired, None)
    one, other = len(first), len(second)
    turned = paired and float(first.std() + second.std()) > least

    def chance(more: int) -> float:
        ways = 2 ** (one + more) if turned else math.comb(one + other + 2 * more, one + more)
        return 2.0 / ways

    enough = next(more for more in itertools.count() if chance(more) < level)
    return Difference(mean, mean, mean, chance(0), paired, enough or None)


def _t_test(first: Scores, second: Scores, paired: bool) -> tuple[float, ...]:
    """P-value and ends of the 95 % interval of the mean difference."""
    from scipy import stats  # imported here: it takes a second

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of scores that are nearly equal
        found = (
            stats.ttest_rel(first, second)
            if paired
            else stats.ttest_ind(first, second, equal_var=False)
        )
    low, high = found.confidence_interval(1 - LEVEL)
    return float(found.pvalue), float(low), float(high)


def _more_seeds(mean: float, variance: float, runs: int, paired: bool, level: float) -> int | None:
    """Seeds to add per side until a difference of this size shows with a power of 80 %.

    Args:
        variance: of the paired gaps, or the sum of both sides' variances.
    """
    if mean == 0 or not math.isfinite(mean):
        return None
    from scipy.special import ndtri, stdtrit

    reach = float(ndtri(1 - level / 2) + ndtri(POWER))
    enough = max(runs + 1, math.ceil(reach**2 * variance / mean**2))  # by the normal distribution
    for count in range(enough, enough + 10):  # the t distribution needs a few more
        freedom = (count - 1) * (1 if paired else 2)
        needed = float(stdtrit(freedom, 1 - level / 2) + stdtrit(freedom, POWER))
        if abs(mean) >= needed * math.sqrt(variance / count):
            return count - runs
    return enough + 10 - runs


def holm(p_values: list[float]) -> list[float]:
    """P-values corrected for being several (Holm 1979); NaN stays NaN."""
    order = sorted((p, i) for i, p in enumerate(p_values) if not math.isnan(p))
    corrected = list(p_values)
    largest = 0.0
    for place, (p, i) in enumerate(order):
        largest = max(largest, min(1.0, p * (len(order) - place)))
        corrected[i] = largest
    return corrected


def area(x: ArrayLike, y: ArrayLike) -> float:
    """Area under a curve over its width: the mean height, by trapezoids; gaps are bridged."""
    across, up = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    good = np.isfinite(across) & np.isfinite(up)
    across, up = across[good], up[good]
    if not len(up):
        return float("nan")
    width = across[-1] - across[0]
    if len(up) == 1 or width <= 0:
        return float(up.mean())
    return float(np.sum(np.diff(across) * (up[1:] + up[:-1]) / 2) / width)
