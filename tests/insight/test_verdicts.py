"""What a course of the return is called: runs that were once called healthy, and the reverse."""

from __future__ import annotations

import numpy as np
import pytest
from made_logs import first, foreign, noisy, through

from ppo.insight.doctor import _verdict_line, diagnose
from ppo.insight.logs import MetricsLog
from ppo.insight.rules._returns import RISES, gain, leans, rises

WRITERS = ["ppo", "cleanrl", "stable-baselines3"]


def evidence(log: MetricsLog) -> str:
    (finding, *_) = diagnose(log)
    return f"{finding.illness}: {finding.evidence}; try {finding.remedy}"


# ---- the return falls


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("rows", [13, 20, 39, 60])
def test_a_return_that_falls_is_named_and_no_higher_rate_advised(writer: str, rows: int) -> None:
    falling = foreign(rows, writer, mean_episode_return=noisy(lambda done: 390 - 360 * done, 3.0),
                      learning_rate=3e-4, approx_kl=1e-6, clip_fraction=0.0)  # fmt: skip
    text = evidence(falling)
    assert text.startswith("not_learning") and "it fell" in text and "0.0009" not in text
    assert "look what changes in the environment" in text


@pytest.mark.parametrize("writer", WRITERS)
def test_a_fall_too_short_to_name_is_not_called_healthy(writer: str) -> None:
    falling = foreign(11, writer, mean_episode_return=noisy(lambda done: 390 - 360 * done, 3.0))
    assert first(falling) == "too_early"


@pytest.mark.parametrize("writer", WRITERS)
def test_what_crashes_in_its_last_batches_did_not_rise(writer: str) -> None:
    crash = through((0.0, 30.0), (0.3, 500.0), (0.84, 500.0), (0.9, 5.0), (1.0, 0.0))
    log = foreign(40, writer, mean_episode_return=noisy(crash, 2.0))
    assert evidence(log).startswith("policy_collapse")
    if writer == "stable-baselines3":  # whose mean over 100 episodes does not come back at once
        return
    once = through((0.0, 30.0), (0.3, 500.0), (0.95, 500.0), (0.975, 5.0), (1.0, 500.0))
    assert first(foreign(40, writer, mean_episode_return=noisy(once, 2.0))) == "healthy"


def test_a_mean_that_is_still_up_is_no_rise_where_its_end_is_down() -> None:
    crash = through((0, 35), (0.8, 500), (0.9, 90), (0.91, 0), (1, 0))
    log = foreign(30, "ppo", mean_episode_return=noisy(crash, 2.0))
    assert gain(log) > RISES and not rises(log) and not leans(log)


def test_a_reward_that_stops_is_no_collapse_of_the_policy() -> None:
    """The critic expects some for a while, so that returns still differ."""
    log = foreign(44, "ppo", mean_episode_return=through((0, 20), (0.3, 400), (0.34, 0), (1, 0)),
                  reward_zero_share=lambda done: np.where(done < 0.34, 0.0, 1.0),
                  return_std=through((0, 20), (0.34, 15), (1, 1)), entropy_relative=0.7,
                  return_max=60.0, return_min=1.0)  # fmt: skip
    assert evidence(log).startswith("no_reward_signal: rewards are zero")


# ---- no return, or too little to say


@pytest.mark.parametrize(
    ("writer", "words"),
    [("ppo", "no episode has ended"), ("stable-baselines3", "no episode return in it")],
)
def test_a_log_without_a_return_is_not_called_healthy(writer: str, words: str) -> None:
    log = foreign(30, writer, explained_variance=0.2, approx_kl=0.01, entropy_relative=0.95)
    assert first(log) == "too_early" and words in _verdict_line(log, [])


@pytest.mark.parametrize(("slope", "word"), [(0.0, "too_early"), (300.0, "healthy")])
def test_a_short_log_of_another_library_is_healthy_where_it_rises(slope: float, word: str) -> None:
    for rows in (12, 25, 39):
        log = foreign(rows, mean_episode_return=noisy(lambda done: 20 + slope * done, 2.0))
        assert first(log) == word


@pytest.mark.parametrize(("returns", "word"), [((9, 8, 7), "too_early"), ((1, 5, 9), "healthy")])
def test_a_few_long_episodes_are_healthy_where_they_become_better(
    returns: tuple[int, ...], word: str
) -> None:
    log = foreign(30, "ppo", mean_episode_return=np.nan, explained_variance=0.5)
    log.columns["mean_episode_return"][[9, 19, 29]] = returns
    assert first(log) == word


# ---- solved, or above a constant


def test_a_small_part_that_rises_over_a_large_constant_is_a_signal() -> None:
    log = foreign(60, mean_episode_return=noisy(lambda done: 10_000 + 140 * done, 3.0))
    assert first(log) == "healthy"


def test_a_solved_agent_that_goes_on_lacks_no_reward() -> None:
    for entropy, word in ((0.7, "not_learning"), (0.99, "no_reward_signal")):
        log = foreign(50, "stable-baselines3", mean_episode_return=500.0, entropy_relative=entropy)
        assert first(log) == word or entropy < 0.9 and first(log) != "no_reward_signal"


def test_a_spread_that_is_next_to_nothing_beside_the_mean_is_no_outlier() -> None:
    """Of a solved task, in whose batch a single episode ended early."""
    spread = lambda done: np.where(np.abs(done - 0.7) < 0.01, 0.17, 0.002)  # noqa: E731
    for mean, found in ((99.0, False), (0.5, True)):
        log = foreign(60, "ppo", return_std=spread, return_mean=mean)
        assert ("reward_outlier" in {f.illness for f in diagnose(log)}) == found


def test_an_outlier_is_above_what_becomes_usual_later() -> None:
    spread = through((0, 1), (0.19, 1), (0.2, 13), (0.21, 1.2), (0.25, 1.2), (0.4, 20), (1, 20))
    log = foreign(101, "stable-baselines3", value_rmse=spread)
    assert "reward_outlier" not in {finding.illness for finding in diagnose(log)}


def test_a_policy_that_became_sure_near_the_top_and_went_on_is_healthy() -> None:
    curve = through((0, 0.3), (0.2, 13), (0.55, 18.5), (0.7, 19.7), (1, 19.8))
    sure = through((0, 1), (0.2, 0.09), (1, 0.006))
    log = foreign(40, "ppo", mean_episode_return=noisy(curve, 0.1), entropy_relative=sure)
    assert first(log) == "healthy"


# ---- words that must be true


def test_episodes_of_one_step_are_said_to_be() -> None:
    log = foreign(30, "ppo", mean_episode_return=1.0, mean_episode_length=1.0, return_std=0.0,
                  return_max=1.0, return_min=1.0, reward_zero_share=0.0)  # fmt: skip
    text = evidence(log)
    assert "every episode ends after one step; returns have no spread" in text
    assert "try look why episodes end at once" in text and "rewards are zero" not in text


def test_choices_are_not_advised_a_standard_deviation() -> None:
    flat = noisy(lambda done: 9 + 0 * done, 0.3)
    for more, there in (({"entropy_relative": 1.0}, False), ({"policy_std": 1.0}, True)):
        columns = {name: through((0, size), (0.1, 0.02), (1, 0.02)) for name, size in more.items()}
        text = evidence(foreign(40, "ppo", mean_episode_return=flat, **columns))
        assert text.startswith("entropy_collapse") and ("initial_log_std" in text) == there


def test_what_a_wide_policy_puts_outside_its_bounds_by_itself_is_no_illness() -> None:
    """A third of a normal distribution lies beyond one standard deviation."""
    flat = noisy(lambda done: -30 + 0 * done, 1.0)
    for share, found in ((0.4, False), (0.6, True)):
        log = foreign(30, "ppo", mean_episode_return=flat, policy_std=1.0,
                      action_out_of_bounds_share=share)  # fmt: skip
        assert (first(log) == "actions_out_of_bounds") == found


def test_a_bonus_that_is_not_known_is_not_said_to_be_too_high_for_sure() -> None:
    flat = noisy(lambda done: 20 + 0 * done, 1.0)
    log = foreign(40, "stable-baselines3", mean_episode_return=flat, entropy_relative=0.96,
                  explained_variance=0.6, approx_kl=0.01)  # fmt: skip
    assert "ent_coef=0.0 (if it is not 0 already)" in evidence(log)


def test_a_return_no_higher_than_some_of_its_first_is_not_yet_healthy() -> None:
    """CartPole by Stable-Baselines3 at a rate of 1e-6: a mean that begins lucky and wanders."""
    drawn = [26.4, 22.5, 20.1, 21.2, 20.1, 19.8, 20.7, 20.4, 22.5, 23.1, 21.5, 21.7, 21.2, 22, 22.7,
             23.3, 24, 23.1, 21.1, 21.9, 24.1, 24.7, 24, 25.5, 24.9, 23.7, 24.1, 23.9, 22.5, 23.2,
             25.1, 24.7]  # fmt: skip
    log = foreign(32, "stable-baselines3", mean_episode_return=lambda done: np.array(drawn),
                  mean_episode_length=22.0)  # fmt: skip
    assert first(log) == "too_early"
    log.columns["mean_episode_return"][-8:] += 5
    assert first(log) == "healthy"


# ---- what the environment counts as solved


@pytest.mark.parametrize(
    ("env", "told", "ends"),
    [
        ("BipedalWalker-v3", {}, 7),
        ("BipedalWalker-v3", {}, 290),  # nearly there
        ("BipedalWalker-v3", {"evaluation_return": 301.0}, 7),
        ("BipedalWalker-v3", {"played_return": 301.0}, 7),  # of a run of this trainer
        ("HalfCheetah-v5", {}, 7),
        ("Pendulum-v1", {}, 7),  # nobody says when it is solved
        ("MyOwn-v0", {}, 7),
        (None, {}, 7),
    ],
)
def test_a_return_that_rests_far_below_what_counts_as_solved_is_told(env, told, ends) -> None:
    course = through((0, -100), (0.3, ends), (1, ends))
    log = foreign(40, "ppo", mean_episode_return=course, explained_variance=0.9, **told)
    log.settings["env.id"] = env
    assert first(log) == "healthy"
    solved = {"BipedalWalker-v3": 300, "HalfCheetah-v5": 4800}.get(env)
    shown = bool(solved) and ends == 7 and not told
    assert ("hardly leaves 7: " in _verdict_line(log, [])) == shown
    assert ("solved" in _verdict_line(log, [])) == shown
    assert not shown or _verdict_line(log, []).endswith(f"{env} is solved at {solved:,}")
    log.settings["env.kwargs"] = {"hardcore": True}
    assert "solved" not in _verdict_line(log, [])


def test_a_return_that_only_evaluations_reach_is_told_as_theirs() -> None:
    """CartPole, briefly: 60 with the policy's noise, 350 without it."""
    course = through((0, 20), (0.3, 60), (1, 60))
    log = foreign(40, "ppo", mean_episode_return=course, explained_variance=0.9, played_return=350)
    log.settings["env.id"] = "CartPole-v1"
    told = "; the return in evaluations hardly leaves 350: CartPole-v1 is solved at 475"
    assert _verdict_line(log, []).endswith(told)


def test_nearly_solved_is_measured_from_where_it_began() -> None:
    """MountainCar-v0: from -200 on, -118 is nine tenths of the way to -110. Few rows tell less."""
    for rows, ends, told in ((40, -118, False), (40, -122, True), (15, -122, False)):
        course = through((0, -200), (0.3, ends), (1, ends))
        log = foreign(rows, "ppo", mean_episode_return=course, explained_variance=0.9)
        log.settings["env.id"] = "MountainCar-v0"
        assert ("solved" in _verdict_line(log, [])) == told, (rows, ends)


@pytest.mark.parametrize(("ends", "told"), [(60, False), (20, True)])
def test_a_return_on_its_way_to_what_counts_as_solved_is_not(ends: float, told: bool) -> None:
    """From -20 on by 80, or 40, in a run: two more runs bring it to 200, where it is solved."""
    log = foreign(40, "ppo", mean_episode_return=through((0, -20), (1, ends)))
    log.settings["env.id"] = "LunarLander-v3"
    assert ("solved" in _verdict_line(log, [])) == told


def test_a_thinned_log_is_judged_by_what_its_rows_show() -> None:
    """A log_interval of 5: of 100 updates in twenty rows it is told, of 80 or 20 in fewer not."""
    less = foreign(16, "stable-baselines3", mean_episode_return=noisy(lambda t: 9.4 + 0 * t, 0.1))
    flat = foreign(20, "stable-baselines3", mean_episode_return=noisy(lambda t: 9.4 + 0 * t, 0.1))
    few = foreign(4, "stable-baselines3", mean_episode_return=through((0, -322), (1, -255)))
    for log, found in ((flat, "not_learning"), (less, "too_early"), (few, "too_early")):
        log.per_row = 5.0
        assert first(log) == found
