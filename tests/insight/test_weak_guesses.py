"""Guesses that a return, a beginning or a size refutes, and findings that go before others."""

from __future__ import annotations

import numpy as np
import pytest
from made_logs import SHAPE, first, foreign, last_hundred, noisy, through

from ppo.insight.doctor import diagnose
from ppo.insight.rules._returns import batch_noise, drift, leans, rises
from ppo.insight.verdict import status


@pytest.mark.parametrize("writer", ["stable-baselines3", "rllib"])
@pytest.mark.parametrize(("ended", "rows"), [(2, 250), (5, 100), (5, 250), (10, 250)])
def test_a_mean_over_the_last_hundred_episodes_that_drifts_does_not_rise(
    writer: str, ended: int, rows: int
) -> None:
    rose = 0
    for seed in range(20):
        episodes = np.random.default_rng(seed).normal(-180.0, 50.0, ended * rows)
        log = foreign(rows, writer, mean_episode_length=1000.0 / ended)
        log.columns["mean_episode_return"] = last_hundred(episodes, ended)
        rose += rises(log)
        assert first(log) in ("not_learning", "healthy")
    assert rose <= 2


@pytest.mark.parametrize("ended", [1, 3, 10, 40])
def test_a_mean_over_the_last_hundred_episodes_rises_where_they_do(ended: int) -> None:
    chance = np.random.default_rng(3).normal(0.0, 50.0, ended * 120)
    for curve in (through((0, 0.0), (1, 1.0)), through((0, 0.0), (0.15, 1.0), (1, 1.0))):
        episodes = -180.0 + 150.0 * curve(np.linspace(0, 1, len(chance))) + chance
        log = foreign(120, "stable-baselines3", mean_episode_length=1000.0 / ended)
        log.columns["mean_episode_return"] = last_hundred(episodes, ended)
        assert rises(log) and first(log) == "healthy"


def test_the_noise_of_a_batch_is_found_below_a_mean_over_many_episodes() -> None:
    for ended in (2, 10, 50, 200):
        episodes = np.random.default_rng(5).normal(0.0, 30.0, 300 * ended)
        log = foreign(300, "stable-baselines3", mean_episode_length=1000.0 / ended)
        log.columns["mean_episode_return"] = (
            last_hundred(episodes, ended) if ended < 100 else episodes.reshape(300, -1).mean(axis=1)
        )
        assert batch_noise(log) == pytest.approx(30.0 / np.sqrt(ended), rel=0.3)


@pytest.mark.parametrize("writer", ["unknown", "rsl_rl", "skrl"])
@pytest.mark.parametrize(("ended", "rows"), [(2, 150), (10, 80), (10, 300)])
def test_a_log_of_anyone_shows_by_its_bends_that_its_returns_are_means_over_many(
    writer: str, ended: int, rows: int
) -> None:
    """A deque of 100 episodes, as most scripts have; nothing in the log tells of it."""
    found = []
    for seed in range(20):
        episodes = np.random.default_rng(seed).normal(-180.0, 50.0, ended * rows)
        log = foreign(rows, writer)
        log.columns["mean_episode_return"] = last_hundred(episodes, ended)
        found.append(first(log))
    assert found.count("not_learning") >= 13 and found.count("policy_collapse") <= 3


def test_neither_noise_nor_a_course_is_taken_for_a_mean_over_many() -> None:
    courses = (
        through((0, 0), (1, 0)), through((0, 0), (1, 1)), through((0, 0), (0.2, 1), (1, 1)),
        through((0, 0), (0.6, 0), (1, 1)), through((0, 0), (0.5, 1), (0.52, 0), (1, 0)),
    )  # fmt: skip
    for rows in (60, 150, 400):
        for course in courses:
            curves = [course(np.linspace(0, 1, rows)) * size for size in (1.0, 10.0, 1e3)]
            taken = [
                drift(curve + np.random.default_rng(seed).normal(size=rows)) > 1
                for curve in curves
                for seed in range(10)
            ]
            assert sum(taken) <= 3


def test_a_weak_guess_that_a_rising_return_would_refute_waits_for_one() -> None:
    odd = {"approx_kl": 0.06, "explained_variance": 0.93, "clip_fraction": 0.3}
    flat = foreign(60, "stable-baselines3", mean_episode_return=noisy(lambda t: 0 * t), **odd)
    assert first(flat) == "observations_unnormalized"
    unseen = foreign(60, "stable-baselines3", **odd)
    assert diagnose(unseen) == []


@pytest.mark.parametrize(("value", "found"), [(0.03, []), (3.0, ["reward_outlier"])])
def test_an_error_that_is_little_beside_the_return_is_no_outlier(
    value: float, found: list[str]
) -> None:
    error = through((0, 0.001 * value), (0.7, 0.001 * value), (0.71, value), (0.72, 0.001 * value))
    log = foreign(100, value_rmse=error, mean_episode_return=noisy(lambda t: 1 + 0 * t, 0.001))
    assert [f.illness for f in diagnose(log) if f.illness == "reward_outlier"] == found


@pytest.mark.parametrize(("value", "found"), [(0.03, []), (3.0, ["value_loss_exploding"])])
def test_an_error_that_is_little_beside_the_return_does_not_explode(
    value: float, found: list[str]
) -> None:
    error = through((0, 0.1 * value), (0.92, 0.1 * value), (0.95, value), (1, value))
    log = foreign(100, value_rmse=error, mean_episode_return=noisy(lambda t: 1 + 0 * t, 0.001))
    assert [f.illness for f in diagnose(log) if f.illness == "value_loss_exploding"] == found


LEANING = through((0, 0.0), (0.25, 0.2), (1, 1.0))


@pytest.mark.parametrize(
    ("columns", "flat"),
    [
        ({}, "not_learning"),
        ({"explained_variance": 0.01}, "not_learning"),  # of which a blind critic is no cause
        ({"approx_kl": 0.06, "clip_fraction": 0.2}, "learning_rate_too_high"),
    ],
)
def test_a_weak_guess_is_refuted_by_a_return_that_rises_rather_than_not(
    columns: dict[str, float], flat: str
) -> None:
    noise = 0.5 * np.random.default_rng(17).normal(size=48)
    leaning = foreign(48, mean_episode_return=lambda t: LEANING(t) + noise, **columns)
    assert leans(leaning) and not rises(leaning)
    assert diagnose(leaning) == []
    assert first(foreign(48, mean_episode_return=lambda t: noise, **columns)) == flat


def test_a_weak_guess_is_not_made_of_a_log_without_its_beginning() -> None:
    odd = {"approx_kl": 0.06, "explained_variance": 0.93, "clip_fraction": 0.3}
    log = foreign(60, "stable-baselines3", mean_episode_return=noisy(lambda t: 0 * t), **odd)
    assert first(log) == "observations_unnormalized"
    log.columns["env_steps"] = log.columns["env_steps"] + 1e6
    assert "observations_unnormalized" not in {f.illness for f in diagnose(log)}


def test_a_narrow_clip_is_the_cause_of_a_reward_that_is_not_found() -> None:
    held = {"approx_kl": 2e-5, "clip_fraction": 0.1, "entropy_relative": 0.999}
    wide, narrow = (
        foreign(60, mean_episode_return=-500.0, clip_range=clip, learning_rate=3e-4, **held)
        for clip in (0.2, 0.01)
    )
    assert first(wide) == "no_reward_signal"
    assert [f.illness for f in diagnose(narrow)] == ["learning_rate_too_low", "no_reward_signal"]
    assert "0.2 (the clip range is 0.01)" in diagnose(narrow)[0].remedy


@pytest.mark.parametrize(("late", "found"), [(-496.0, "no_reward_signal"), (-450.0, "healthy")])
def test_a_few_lucky_episodes_among_many_are_no_rise(late: float, found: str) -> None:
    """Acrobot that nobody learned: one episode in a hundred reaches the goal by chance."""
    for since in (0.3, 0.15):  # in half of the first quarter is enough of a floor
        returns = through((0, -500.0), (since, -500.0), (0.4, late), (0.41, late + 2), (1, late))
        log = foreign(60, "rsl_rl", mean_episode_return=returns, value_rmse=10.0)
        assert rises(log) == leans(log) == (found == "healthy")
        assert first(log) == found


def test_a_rate_far_below_the_usual_is_named_without_a_kl() -> None:
    flat = noisy(lambda done: 20 + 0 * done, 1.0)
    for writer in ("rsl_rl", "ml-agents", "skrl"):
        slow = foreign(30, writer, mean_episode_return=flat, learning_rate=1e-6)
        assert first(slow) == "learning_rate_too_low" and diagnose(slow)[0].since_batch == 0
        usual = foreign(30, writer, mean_episode_return=flat, learning_rate=3e-4)
        assert diagnose(usual) == []
        decayed = foreign(
            30, writer, mean_episode_return=flat, learning_rate=through((0, 3e-4), (1, 1e-8))
        )
        assert diagnose(decayed) == [], "what a schedule comes to is no fault"
        learns = foreign(30, writer, mean_episode_return=lambda t: 20 + 9 * t, learning_rate=1e-6)
        assert diagnose(learns) == []


def test_one_leap_at_a_rate_far_too_high_is_the_cause_whenever_it_comes() -> None:
    """A schedule or a hand that raises the rate of a run that had learned."""
    figures = {
        "mean_episode_return": noisy(through((0, -500), (0.4, -85), (0.6, -85), (1, -420)), 2.0),
        "learning_rate": lambda t: np.where(t < 0.6, 1e-3, 0.1),
        "explained_variance": lambda t: np.where(t < 0.6, 0.9, 1e-5),
        "entropy_relative": lambda t: np.where(t < 0.6, 0.3, 1e-6),
        "value_rmse": through((0, 12.0), (0.6, 5.0), (1, 0.5)),
        "clip_fraction": 0.02,
    }
    leap = foreign(80, "stable-baselines3", approx_kl=_leap(12.0), **figures)
    assert [f.illness for f in diagnose(leap)][:2] == ["learning_rate_too_high", "policy_collapse"]
    small = foreign(80, "stable-baselines3", approx_kl=_leap(0.01), **figures)
    assert first(small) == "policy_collapse", "inputs do not go off scale in the middle of a run"
    back = noisy(through((0, -344), (0.6, -37), (0.75, -150), (1, -96)), 2.0)  # and above its start
    torn = leap.columns | {"mean_episode_return": back(np.linspace(0, 1, 80))}
    torn["entropy_relative"] = np.full(80, 0.9)
    leap.columns = torn
    assert first(leap) == "learning_rate_too_high"
    leap.columns = torn | {"mean_episode_return": np.linspace(-344.0, -37.0, 80)}
    assert first(leap) == "healthy"


def _leap(size: float) -> SHAPE:
    return lambda t: np.where(np.arange(len(t)) == 48, size, np.where(t < 0.6, 0.004, 0.0))


def test_a_discount_that_sees_no_consequence_is_told_though_few_batches_end_an_episode() -> None:
    seldom = lambda t: np.where(np.arange(len(t)) % 4 == 1, 450.0, np.nan)  # noqa: E731
    log = foreign(48, mean_episode_length=seldom, approx_kl=1e-5, learning_rate=2.5e-4)
    log.settings["ppo.gamma"] = 0.1
    assert first(log) == "gamma_horizon" and "episodes 450" in diagnose(log)[0].evidence
    log.settings["ppo.gamma"] = 0.99
    assert first(log) != "gamma_horizon"


def test_a_policy_that_is_sure_is_not_judged_by_a_log_without_returns() -> None:
    """A task that is solved at once makes a policy sure of itself too."""
    sure = {"entropy_relative": through((0, 1.0), (0.1, 0.05), (1, 0.01))}
    sure |= {"explained_variance": through((0, 0.0), (0.1, 0.9), (1, 0.99)), "approx_kl": 1e-3}
    unseen = foreign(60, "stable-baselines3", **sure)
    assert diagnose(unseen) == []
    lost = foreign(60, "stable-baselines3", mean_episode_return=noisy(lambda t: 9 + 0 * t), **sure)
    assert first(lost) == "entropy_collapse"


def test_targets_of_a_moderate_size_are_no_illness_where_no_return_is_logged() -> None:
    blind = {"explained_variance": 0.02, "value_rmse": 90.0, "learning_rate": 3e-4}
    unseen = foreign(60, "cleanrl", approx_kl=0.005, **blind)
    assert "reward_scale_too_large" not in {f.illness for f in diagnose(unseen)}
    flat = foreign(60, "cleanrl", mean_episode_return=noisy(lambda t: 9 + 0 * t), **blind)
    assert "reward_scale_too_large" in {f.illness for f in diagnose(flat)}


@pytest.mark.parametrize(
    ("illness", "settings", "columns"),
    [
        ("critic_blind", {}, {"explained_variance": 0.02}),
        ("reward_scale_too_large", {}, {"explained_variance": 0.02, "value_rmse": 90.0}),
        (
            "value_clip_too_tight",
            {"ppo.value_clip": "absolute", "ppo.value_clip_epsilon": 0.2},
            {"explained_variance": 0.05, "value_rmse": 20.0},
        ),
    ],
)
def test_a_slow_critic_is_not_judged_by_a_log_without_its_beginning(
    illness: str, settings: dict[str, object], columns: dict[str, float]
) -> None:
    flat = noisy(lambda t: 200 + 0 * t, 5.0)
    log = foreign(60, "cleanrl", mean_episode_return=flat, learning_rate=3e-4, **columns)
    log.settings |= settings
    assert illness in {f.illness for f in diagnose(log)}
    log.columns["env_steps"] = log.columns["env_steps"] + 1e6
    assert diagnose(log) == []


def test_what_was_learned_within_the_first_batch_is_no_lack_of_learning() -> None:
    for size in (0.01, 0.1):
        level = noisy(through((0, 0), (0.01, 1), (1, 1)), size)
        learned = foreign(80, "rsl_rl", mean_episode_return=level)
        assert first(learned) == "healthy"
        learned.columns["entropy_relative"] = np.geomspace(0.9, 0.02, 80)
        assert first(learned) == "healthy", "it may be sure of itself then"
    chance = noisy(through((0, 0.6), (0.01, 1), (1, 1)), 0.1)
    assert first(foreign(80, "rsl_rl", mean_episode_return=chance)) == "not_learning"


def test_a_value_loss_that_grows_as_the_reward_arrives_is_no_explosion() -> None:
    late = noisy(through((0, -200), (0.7, -200), (1, 60)), 3.0)
    grows = through((0, 4.0), (0.88, 4.0), (0.95, 30), (1, 30))
    log = foreign(60, "rl_games", mean_episode_return=late, value_rmse=grows)
    assert first(log) == "healthy"
    flat = foreign(60, "rl_games", mean_episode_return=noisy(lambda t: 9 + 0 * t), value_rmse=grows)
    assert "value_loss_exploding" in {f.illness for f in diagnose(flat)}


def test_a_return_that_does_not_rise_goes_before_a_vague_guess_and_behind_a_clear_one() -> None:
    flat = {"mean_episode_return": noisy(lambda t: 200 + 0 * t, 5.0), "learning_rate": 3e-4}
    blind = foreign(60, "stable-baselines3", explained_variance=0.02, **flat)
    findings = diagnose(blind)
    assert [f.illness for f in findings] == ["not_learning", "critic_blind"]
    assert status(blind, findings) == "not_learning"
    sunk = foreign(
        30,
        "stable-baselines3",
        explained_variance=1e-5,
        mean_episode_return=noisy(through((0, -340), (1, -730)), 5.0),
    )
    assert first(sunk) == "not_learning" and "it fell" in diagnose(sunk)[0].evidence
    still = foreign(60, "stable-baselines3", approx_kl=1e-6, **flat)
    assert [f.illness for f in diagnose(still)] == ["learning_rate_too_low"]


@pytest.mark.parametrize("writer", ["stable-baselines3", "cleanrl"])
def test_a_first_step_that_tears_the_policy_at_a_modest_rate_is_the_inputs_doing(
    writer: str,
) -> None:
    """ReLU and observations times 1e4: HalfCheetah's KL is 2,000 and rises, CartPole's is 4."""
    error = through((0, 5900), (0.1, 1100), (1, 300))
    flat = {"mean_episode_return": noisy(through((0, -640), (1, -600)), 30.0)}
    torn = foreign(30, writer, approx_kl=through((0, 2e3), (1, 2e5)), clip_fraction=0.99,
                   explained_variance=-20.0, value_rmse=error, learning_rate=3e-4, **flat,
    )  # fmt: skip
    dead = foreign(40, writer, approx_kl=through((0, 0.09), (0.03, 3.7), (0.06, 0), (1, 0)),
                   entropy_relative=through((0, 0.4), (0.05, 0.07), (0.2, 1e-3), (1, 1e-4)),
                   explained_variance=-2.0, learning_rate=5e-4,
                   mean_episode_return=noisy(through((0, 14), (0.1, 9.4), (1, 9.4)), 0.05),
    )  # fmt: skip
    for log in (torn, dead):
        assert first(log) == "observations_unnormalized"
        log.columns["learning_rate"] *= 50
        assert first(log) == "learning_rate_too_high"


def test_a_bonus_for_a_wide_policy_shows_at_a_lesser_pace_where_the_return_falls() -> None:
    """Reacher at a coefficient of 0.3: std 1 to 1.8, return -60 to -78, at an uneven pace."""
    wider = through((0, 1.03), (0.33, 1.26), (0.67, 1.43), (1, 1.77))
    falling = noisy(through((0, -61), (1, -78)), 0.5)
    sunk = foreign(
        40, "stable-baselines3", policy_std=wider, mean_episode_return=falling,
        explained_variance=-0.05,
    )  # fmt: skip
    assert first(sunk) == "entropy_coefficient_too_high"
    sunk.columns["mean_episode_return"] = -sunk.columns["mean_episode_return"]
    assert first(sunk) != "entropy_coefficient_too_high"


def test_a_policy_that_got_sure_of_nothing_is_no_guess_about_its_inputs() -> None:
    """Acrobot at a coefficient of -0.3: the critic learns the mean of returns that never differ."""
    log = foreign(40, "stable-baselines3", mean_episode_return=-500.0, learning_rate=5e-4,
                  entropy_relative=through((0, 1), (0.25, 0.7), (0.4, 0.03), (1, 6e-4)),
                  approx_kl=through((0, 4e-3), (0.35, 0.04), (0.45, 0), (1, 0)),
                  value_rmse=through((0, 14.8), (1, 4.9)),
                  explained_variance=through((0, 0.01), (0.3, 1e-5), (1, 1e-5)))  # fmt: skip
    assert {"entropy_collapse", "observations_unnormalized"} <= {f.illness for f in diagnose(log)}
    assert first(log) == "entropy_collapse"
