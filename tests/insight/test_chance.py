"""Rises and falls against what chance does to a batch's returns, and to means over a hundred."""

from __future__ import annotations

import numpy as np
import pytest
from made_logs import drawn, first, foreign, through

from ppo.insight.doctor import diagnose
from ppo.insight.rules._returns import _by_batch, gain

LEVEL = through((0, 0.0), (1, 0.0))
SHAPES = [(1, 100), (2, 300), (10, 60), (10, 300), (40, 60), (200, 60)]


@pytest.mark.parametrize("writer", ["stable-baselines3", "cleanrl"])
@pytest.mark.parametrize(("ended", "rows"), SHAPES)
def test_a_rise_by_chance_is_one_standard_error(writer: str, ended: int, rows: int) -> None:
    gains = [gain(drawn(writer, ended, rows, LEVEL, seed)) for seed in range(60)]
    assert np.sqrt(np.mean(np.square(gains))) == pytest.approx(1.0, abs=0.35)


@pytest.mark.parametrize(("ended", "rows"), [(2, 60), (10, 150), (0.0001, 60)])
def test_a_rise_by_chance_is_one_standard_error_in_a_log_that_begins_late(ended, rows) -> None:
    """Also where far more batches than it has are in each mean."""
    gains = []
    for seed in range(60):
        whole = max(round(100 / ended), 1)
        told = np.random.default_rng(seed).normal(size=whole + rows)
        total = np.cumsum(told)
        log = foreign(rows, "rllib", mean_episode_length=1000.0 / ended)
        log.columns["env_steps"] += 1e6
        log.columns["mean_episode_return"] = (total[whole:] - total[:-whole]) / whole
        gains.append(gain(log))
    assert np.sqrt(np.mean(np.square(gains))) == pytest.approx(1.0, abs=0.35)


@pytest.mark.parametrize("writer", ["stable-baselines3", "cleanrl"])
@pytest.mark.parametrize(("ended", "rows"), SHAPES)
def test_a_level_return_neither_rises_nor_collapses(writer: str, ended: int, rows: int) -> None:
    found = [first(drawn(writer, ended, rows, LEVEL, seed)) for seed in range(20)]
    assert found.count("not_learning") >= 17 and "policy_collapse" not in found


@pytest.mark.parametrize("writer", ["stable-baselines3", "cleanrl"])
@pytest.mark.parametrize(
    ("ended", "rows", "course"),
    [
        (10, 150, through((0, 0.0), (1, 0.5))),
        (2, 300, through((0, 0.0), (0.5, 0.0), (0.501, 0.5), (1, 0.5))),
        (2, 300, through((0, 0.0), (0.8, 0.0), (0.801, 0.6), (1, 0.6))),
        (10, 60, through((0, 0.0), (0.5, 0.0), (0.501, 0.5), (1, 0.5))),
        (40, 60, through((0, 0.0), (0.25, 0.5), (1, 0.5))),
        (40, 150, through((0, 0.0), (0.08, 0.5), (1, 0.5))),
    ],
)
def test_a_rise_of_half_an_episodes_spread_is_learning(writer, ended, rows, course) -> None:
    """Of five standard errors or more, whenever and however quickly it comes."""
    found = [first(drawn(writer, ended, rows, course, seed)) for seed in range(20)]
    assert found.count("healthy") >= 18


@pytest.mark.parametrize(("ended", "rows"), [(10, 300), (10, 1000)])
def test_a_mean_over_a_hundred_episodes_wanders_without_a_collapse(ended: int, rows: int) -> None:
    """The more so where it rose by a little at first."""
    for course in (LEVEL, through((0, 0.0), (0.08, 0.5), (1, 0.5))):
        found = [first(drawn("stable-baselines3", ended, rows, course, seed)) for seed in range(30)]
        assert found.count("policy_collapse") <= 1


@pytest.mark.parametrize(("ended", "rows"), [(2, 300), (10, 60), (10, 300)])
def test_a_collapse_is_seen_through_a_mean_over_a_hundred_episodes(ended: int, rows: int) -> None:
    course = through((0, 0.0), (0.5, 3.0), (0.6, 3.0), (0.7, 0.5), (1, 0.5))
    found = [first(drawn("stable-baselines3", ended, rows, course, seed)) for seed in range(10)]
    assert found == ["policy_collapse"] * 10


@pytest.mark.parametrize(("lasts", "slowly"), [(0.5, True), (0.05, False)])
def test_what_is_lost_slowly_may_be_the_environments_doing(lasts: float, slowly: bool) -> None:
    course = through((0, 0.0), (0.3, 6.0), (0.3 + lasts, 2.0), (1, 2.0))
    finding = diagnose(drawn("cleanrl", 10, 200, course, 0))[0]
    assert finding.illness == "policy_collapse"
    assert ("slowly, half of it in" in finding.evidence) is slowly
    assert ("changes in the environment" in finding.remedy) is slowly


@pytest.mark.parametrize("late", [False, True])
def test_rows_in_which_no_episode_ends_change_nothing(late: bool) -> None:
    returns = np.random.default_rng(0).normal(size=40)
    weights = np.linspace(-1.0, 1.0, 40)[None]
    whole = _by_batch(weights, returns, 7.0, late)
    thrice = np.repeat(weights / 3, 3, axis=1)
    again = _by_batch(thrice, np.repeat(returns, 3), 21.0, late)
    assert again == pytest.approx(whole)
