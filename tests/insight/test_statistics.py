"""Statistics against slow oracles, scipy, and the rliable package where it can be imported."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from ppo.insight.comparison.run import figures
from ppo.insight.comparison.statistics import (
    area,
    difference,
    holm,
    iqm,
    iqm_interval,
    probability_of_improvement,
)

SCORES = st.lists(st.floats(-1e3, 1e3).map(lambda v: round(v, 3)), min_size=1, max_size=20)


@given(SCORES)
def test_iqm_is_scipys_trimmed_mean(scores: list[float]) -> None:
    expected = scipy.stats.trim_mean(np.array(scores), 0.25, axis=None)
    assert iqm(scores) == pytest.approx(float(expected), abs=1e-9)


@given(SCORES, SCORES)
def test_probability_of_improvement_counts_pairs(x: list[float], y: list[float]) -> None:
    pairs = [(a > b) + 0.5 * (a == b) for a, b in itertools.product(x, y)]
    assert probability_of_improvement(x, y) == pytest.approx(sum(pairs) / len(pairs))


def test_figures_equal_those_of_rliable() -> None:
    metrics = pytest.importorskip("rliable.metrics")
    draw = np.random.default_rng(0)
    for runs in (3, 5, 10):
        x, y = draw.normal(size=runs), draw.normal(0.3, size=runs + 2)
        assert iqm(x) == pytest.approx(metrics.aggregate_iqm(x), abs=1e-12)
        expected = metrics.probability_of_improvement(x[:, None], y[:, None])
        assert probability_of_improvement(x, y) == pytest.approx(expected, abs=1e-12)


def _slow_interval(scores: np.ndarray, resamples: int) -> tuple[float, float]:
    """The bootstrap as a loop."""
    draw = np.random.default_rng(1)
    values = []
    for _ in range(resamples):
        again = [scores[draw.integers(len(scores))] for _ in scores]
        values.append(scipy.stats.trim_mean(again, 0.25))
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


@pytest.mark.parametrize("runs", [4, 15])
def test_the_bootstrap_interval_agrees_with_a_loop(runs: int) -> None:
    scores = np.random.default_rng(2).normal(size=runs)
    fast = iqm_interval(scores, resamples=8000)
    slow = _slow_interval(scores, 3000)
    width = slow[1] - slow[0]
    assert np.allclose(fast, slow, atol=0.08 * width)


@settings(deadline=None, max_examples=30)
@given(SCORES.filter(lambda s: len(s) > 1), st.integers(-20, 20))
def test_figures_follow_a_change_of_units(scores: list[float], exponent: int) -> None:
    scale = 2.0**exponent
    moved = [value * scale for value in scores]
    assert iqm(moved) == iqm(scores) * scale
    assert iqm_interval(moved, 200) == tuple(v * scale for v in iqm_interval(scores, 200))
    assert probability_of_improvement(moved, [0.0]) == probability_of_improvement(scores, [0.0])


@pytest.mark.parametrize("exponent", [-800, 500, 900])
def test_a_difference_of_any_size_is_tested_alike(exponent: int) -> None:
    """Squares of returns that diverged are beyond all numbers."""
    x, y = [1.0, 2.0, 4.0, 3.0], [2.0, 3.0, 5.0, 9.0]
    plain = difference(x, y)
    found = difference([math.ldexp(v, exponent) for v in x], [math.ldexp(v, exponent) for v in y])
    assert (found.p_value, found.more_seeds) == (plain.p_value, plain.more_seeds)
    assert found.low == math.ldexp(plain.low, exponent) and plain.more_seeds


def test_one_run_has_no_interval() -> None:
    assert all(math.isnan(value) for value in iqm_interval([3.0]))
    assert math.isnan(difference([1.0], [2.0, 3.0]).p_value)


@pytest.mark.parametrize("paired", [False, True])
def test_tests_equal_scipys(paired: bool) -> None:
    draw = np.random.default_rng(3)
    for _ in range(20):
        x, y = draw.normal(size=6), draw.normal(0.5, 2.0, size=6)
        ours = difference(x, y, paired)
        theirs = (
            scipy.stats.ttest_rel(x, y) if paired else scipy.stats.ttest_ind(x, y, equal_var=False)
        )
        interval = theirs.confidence_interval(0.95)
        assert ours.p_value == pytest.approx(float(theirs.pvalue), abs=1e-12)
        assert ours.low == pytest.approx(float(interval.low), abs=1e-9)
        assert ours.high == pytest.approx(float(interval.high), abs=1e-9)


@pytest.mark.filterwarnings("error")
def test_scores_that_are_nearly_one_are_tested_without_a_warning() -> None:
    nearly = [0.25, np.nextafter(0.25, 1)]
    found = difference(nearly, [0.1, 0.3])
    assert found.mean == pytest.approx(0.05) and 0.5 < found.p_value < 0.75


def test_equal_groups_are_told_apart_as_often_as_promised() -> None:
    draw = np.random.default_rng(4)
    found = sum(
        difference(draw.normal(size=5), draw.normal(size=5)).p_value < 0.05 for _ in range(1000)
    )
    assert 20 <= found <= 70  # 5 % of 1000, and chance


def test_the_seeds_it_asks_for_do_show_the_difference() -> None:
    draw = np.random.default_rng(5)
    needed = 3 + difference([0.0, 1.0, 2.0], [1.5, 2.5, 3.5]).more_seeds
    shown = [
        difference(draw.normal(1, 1, needed), draw.normal(2.5, 1, needed)).p_value < 0.05
        for _ in range(300)
    ]
    assert 0.7 < np.mean(shown) < 0.97


def test_equal_scores_do_not_differ() -> None:
    assert difference([500.0] * 2, [500.0] * 2).p_value == 1.0
    assert difference([0.1 + 0.2] * 9, [0.3] * 9).p_value == 1.0  # but for rounding


@pytest.mark.parametrize(("runs", "shown"), [(2, False), (3, False), (4, True), (9, True)])
def test_scores_without_any_spread_are_judged_by_their_exact_permutations(
    runs: int, shown: bool
) -> None:
    """Two seeds at the most a task gives, and two just below it, prove nothing."""
    x, y = [500.0] * runs, [499.9] * runs
    for paired in (False, True):
        found = difference(x, y, paired)
        test = scipy.stats.permutation_test(
            (x, y), lambda a, b, axis: a.mean(axis) - b.mean(axis), n_resamples=np.inf,
            vectorized=True,
        )  # fmt: skip
        assert found.p_value == pytest.approx(float(test.pvalue)) and found.mean > 0
        assert (found.p_value < 0.05) == shown
        assert found.more_seeds == (None if shown else 4 - runs)


@pytest.mark.parametrize("runs", [3, 5, 6, 8])
def test_pairs_that_all_differ_by_the_same_are_judged_by_their_signs(runs: int) -> None:
    y = np.arange(runs) * 8.0
    found = difference(y + 1, y, paired=True)
    assert found.p_value == pytest.approx(scipy.stats.binomtest(runs, runs).pvalue)
    assert found.more_seeds == (6 - runs if runs < 6 else None)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    corrected = holm([float("nan"), 0.02])
    assert math.isnan(corrected[0]) and corrected[1] == 0.02


def test_area_and_last_tenth_by_hand() -> None:
    assert area([0, 1, 3], [0, 2, 2]) == pytest.approx((1 + 4) / 3)
    assert area([0, 1, 2], [1, float("nan"), 3]) == pytest.approx(2.0)
    assert figures(np.arange(20), np.array([9.0] * 18 + [1.0, 3.0]), "higher").final == 2.0
    assert figures(np.zeros(1), np.array([5.0]), "higher").final == 5.0


def test_the_seeds_it_asks_for_show_the_difference_among_several_groups_too() -> None:
    """Of nine groups one differs: Holm's correction asks for p below 0.05 / 8 of it."""
    draw = np.random.default_rng(7)
    needed = 3 + difference([0.0, 1.0, 2.0], [1.5, 2.5, 3.5], tests=8).more_seeds
    shown = 0
    for _ in range(200):
        base = draw.normal(0, 1, needed)
        gaps = [1.5, *[0.0] * 7]
        found = [difference(draw.normal(gap, 1, needed), base).p_value for gap in gaps]
        shown += holm(found)[0] < 0.05
    assert 0.7 < shown / 200 < 0.97


def test_a_difference_that_shows_alone_but_not_among_several_asks_for_seeds() -> None:
    x, y = [0.0, 1.0, 2.0, 3.0], [3.0, 4.0, 5.0, 6.0]
    assert 0.05 / 8 < difference(x, y).p_value < 0.05
    assert difference(x, y).more_seeds is None
    assert difference(x, y, tests=8).more_seeds > 0
    assert difference(x, y, tests=8).p_value == difference(x, y).p_value
