"""Intervals by the bootstrap: they cover what they say, and the mean's is that of scipy."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from ppo.functional.bootstrap import RESAMPLES, mean_interval, percentiles, resample


def test_the_interval_covers_the_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(40):
        low, high = mean_interval(rng.normal(5.0, 2.0, 40), seed=1)
        hits += low <= 5.0 <= high
    assert hits >= 34


@pytest.mark.parametrize("count", [2, 3, 20, 100])
@pytest.mark.parametrize("power", [1, 3])
def test_the_interval_of_the_mean_is_that_of_scipy(count, power):
    values = -12.0 + 100.0 * np.random.default_rng(count).random(count) ** power
    found = stats.bootstrap((values,), np.mean, n_resamples=RESAMPLES, rng=np.random.default_rng(7))
    assert mean_interval(values, 7) == pytest.approx(tuple(found.confidence_interval), rel=1e-12)


def test_no_command_waits_for_the_import_of_scipys_statistics():
    asked = "import numpy, sys; from ppo.functional.bootstrap import mean_interval; "
    asked += "mean_interval(numpy.arange(9.0), 0); assert 'scipy.stats' not in sys.modules"
    subprocess.run([sys.executable, "-c", asked], check=True)


def test_a_constant_has_an_interval_of_no_width():
    assert mean_interval(np.full(10, 3.0), 0) == (3.0, 3.0)


def test_two_values_have_an_interval_and_one_has_none():
    low, high = mean_interval(np.array([1.0, 2.0]), 0)
    assert 1.0 <= low < 1.5 < high <= 2.0
    assert mean_interval(np.array([4.0]), 0) == (None, None)


@pytest.mark.parametrize("size", [2.0**-1000, 1.0, 2.0**900])
def test_the_interval_has_the_unit_of_the_values(size):
    values = np.array([0.0, 1.0, 3.0, 4.0])
    assert mean_interval(values * size, 0) == tuple(size * end for end in mean_interval(values, 0))


def test_what_is_not_finite_has_no_finite_interval():
    assert np.isnan(mean_interval(np.array([1.0, np.inf, 2.0]), 0)).all()
    assert np.isnan(mean_interval(np.array([1.0, np.nan, 2.0]), 0)).all()


def test_nothing_has_no_interval():
    assert mean_interval(np.zeros(0), 0) == (None, None)


def test_every_run_is_drawn_as_often_as_the_others():
    draws = resample(np.array([0.0, 1.0, 2.0]), 500, np.random.default_rng(0))
    assert draws.shape == (500, 3) and set(np.unique(draws)) == {0, 1, 2}
    assert abs(np.corrcoef(draws[:, 0], draws[:, 1])[0, 1]) < 0.1
    assert abs(draws.mean() - 1.0) < 0.1


def test_percentiles_leave_the_level_out():
    low, high = percentiles(np.arange(1001.0))
    assert (low, high) == (25.0, 975.0)
