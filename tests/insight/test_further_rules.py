"""More of what the rules must not take for an illness, and of what they once missed."""

from __future__ import annotations

import numpy as np
import pytest
from made_logs import SHAPE, first, foreign, noisy, through

from ppo.insight.doctor import diagnose
from ppo.insight.logs import MetricsLog

SB3 = "stable-baselines3"


def test_a_critic_that_fits_at_once_is_no_sign_of_many_epochs_in_a_run_that_rises() -> None:
    """Rewards that are normalized are fitted within a batch, by any number of epochs."""
    figures = {
        "approx_kl": 0.033, "clip_fraction": 0.28, "learning_rate": 1e-3,
        "value_rmse": through((0, 0.7), (0.03, 0.15), (1, 0.04)),
    }  # fmt: skip
    rising = foreign(30, SB3, **figures, mean_episode_return=through((0, -1270), (1, -410)))
    assert first(rising) == "healthy"
    standing = noisy(through((0, -1270), (1, -1270)), 40.0)
    flat = foreign(30, SB3, **figures, mean_episode_return=standing)
    assert first(flat) == "too_many_epochs"


def test_a_clip_that_most_samples_leave_sets_the_pace_though_the_return_creeps_up() -> None:
    creeping = noisy(through((0, 20), (1, 180)), 2.0)
    slow = {"approx_kl": 1e-4, "clip_fraction": 0.5, "mean_episode_return": creeping}
    finding = diagnose(foreign(60, SB3, clip_range=0.01, **slow))[0]
    assert (finding.illness, finding.severity) == ("learning_rate_too_low", "mild")
    assert finding.remedy.startswith("clip_range=0.2")
    assert first(foreign(60, SB3, clip_range=0.2, **slow)) == "healthy"
    there = {**slow, "mean_episode_return": through((0, 20), (0.4, 180), (1, 180))}
    assert first(foreign(60, SB3, clip_range=0.01, **there)) == "healthy"


def tiny(size: float) -> SHAPE:
    return lambda done: size * np.sin(1 + np.arange(len(done)) ** 2)


def test_a_critic_that_is_one_value_for_all_states_sees_no_observation() -> None:
    """A huge constant entry drowns the others: networks and their gradients know one state."""
    figures = {
        "approx_kl": 0.009, "entropy_relative": noisy(through((0, 0.995), (1, 0.995)), 2e-3),
        "value_rmse": through((0, 2.4), (0.2, 4.3), (1, 4.3)), "learning_rate": 1e-3,
        "mean_episode_return": noisy(through((0, 22), (1, 22))),
    }  # fmt: skip
    for writer in (SB3, "cleanrl"):
        found = diagnose(foreign(40, writer, **figures, explained_variance=tiny(1e-7)))[0]
        assert found.illness == "observations_unnormalized"
        assert "all states look alike" in found.evidence and "constant" in found.remedy
    sees = foreign(40, SB3, **figures, explained_variance=noisy(through((0, 0.5), (1, 0.5)), 0.1))
    assert first(sees) == "entropy_coefficient_too_high"
    assert first(foreign(40, SB3, **figures, explained_variance=0.0)) != "observations_unnormalized"


def test_a_policy_that_no_update_moves_has_another_illness_than_its_inputs() -> None:
    flat = noisy(through((0, 22), (1, 22)))
    still = foreign(40, SB3, approx_kl=1e-9, learning_rate=1e-7, mean_episode_return=flat,
                    explained_variance=tiny(1e-7), entropy_relative=1.0)  # fmt: skip
    assert first(still) == "learning_rate_too_low"


def test_a_return_that_falls_beside_a_critic_that_sees_is_not_what_is_trained_on() -> None:
    falling = through((0, -1270), (0.2, -1270), (0.8, -1860), (1, -1865))
    figures = {"approx_kl": 0.02, "clip_fraction": 0.2, "mean_episode_return": falling}
    knows = through((0, 0.2), (0.1, 0.95), (1, 0.99))
    for explained, deviation, opposite in (
        (knows, 0.3, True),
        (0.1, 0.3, False),
        (knows, 1, False),
    ):
        log = foreign(30, SB3, **figures, explained_variance=explained,
                      policy_std=through((0, 1), (1, deviation)))  # fmt: skip
        finding = diagnose(log)[0]
        assert finding.illness == "not_learning"
        assert finding.remedy.startswith("look at the sign of the reward") == opposite
    steep = foreign(30, SB3, **figures, explained_variance=knows,
                    entropy_relative=through((0, 0.9), (0.1, 0.05), (1, 0.02)))  # fmt: skip
    finding = diagnose(steep)[0]
    assert finding.illness == "entropy_collapse" and "sign of the reward" in finding.remedy


def test_a_rate_far_above_the_usual_is_named_where_no_figure_shows_what_it_does() -> None:
    standing = noisy(through((0, 22), (1, 22)))
    log = foreign(30, "skrl", learning_rate=0.05, mean_episode_return=standing, policy_loss=0.1)
    finding = diagnose(log)[0]
    assert finding.illness == "learning_rate_too_high"
    assert finding.remedy.startswith("learning_rate=0.0003")
    rising = noisy(through((0, 22), (1, 400)))
    log = foreign(30, "skrl", learning_rate=0.05, mean_episode_return=rising, policy_loss=0.1)
    assert first(log) == "healthy"


@pytest.mark.parametrize("end", [30, 200])
def test_a_rate_that_was_raised_on_the_way_is_the_one_that_is_named(end: float) -> None:
    figures = {
        "approx_kl": through((0, 0.01), (0.55, 0.01), (0.56, 0.9), (1, 0.9)),
        "learning_rate": through((0, 1e-3), (0.54, 1e-3), (0.55, 0.03), (1, 0.03)),
        "mean_episode_return": noisy(through((0, 20), (0.5, 320), (0.6, 20), (1, end)), 3.0),
    }
    finding = diagnose(foreign(80, SB3, **figures))[0]
    assert finding.illness == "learning_rate_too_high"
    assert "learning rate 0.03" in finding.evidence
    assert finding.remedy.startswith("learning_rate=0.0003;")


def test_a_quick_rise_is_none_the_less_a_rise_for_the_noise_that_came_with_it() -> None:
    """Single episodes of CartPole: 29, 44, 73, and from the fifth batch on 120 to 500."""
    draw = np.random.default_rng(0)

    def quick(lowest: float) -> SHAPE:
        return lambda done: np.concatenate(
            [[29, 44, 73, 99, 153, 134, 220, 247, 248], draw.uniform(lowest, 500, len(done) - 9)]
        )

    assert first(foreign(58, mean_episode_return=quick(120))) == "healthy"
    level = [
        first(foreign(58, mean_episode_return=lambda done: draw.normal(250, 90, len(done))))
        for _ in range(20)
    ]
    assert level.count("not_learning") >= 18


def test_a_critic_that_comes_late_was_not_out_of_reach() -> None:
    """Acrobot by CleanRL's defaults: targets of -15, of which the critic sees nothing at first."""
    figures = {
        "value_rmse": through((0, 14.7), (1, 13.4)), "learning_rate": 2.5e-4,
        "mean_episode_return": noisy(through((0, -480), (1, -470)), 30.0),
    }  # fmt: skip
    for last, illness in ((0.2, "too_early"), (0.02, "reward_scale_too_large")):
        sees = through((0, 0), (0.6, 0.02), (1, last))
        log = foreign(30, **figures, explained_variance=sees)
        log.settings |= {"ppo.num_epochs": 4, "ppo.num_minibatches": 4}
        assert first(log) == illness


def test_a_heavy_bonus_that_is_known_from_the_settings_explains_a_policy_that_stands_still() -> (
    None
):
    figures = {
        "entropy_relative": 0.995, "approx_kl": 1e-5, "learning_rate": 2.5e-4, "clip_fraction": 0.0,
        "explained_variance": 0.1, "mean_episode_return": noisy(through((0, 25), (1, 25)), 2.0),
    }  # fmt: skip
    log = foreign(90, **figures)
    assert first(log) == "learning_rate_too_low"
    log.settings["ppo.entropy_coefficient"] = 2.0
    finding = diagnose(log)[0]
    assert finding.illness == "entropy_coefficient_too_high"
    assert "a coefficient of 2" in finding.evidence and finding.remedy.startswith("ent-coef=0.01")


def test_a_value_clip_that_lets_the_critic_see_is_not_the_first_to_blame() -> None:
    """CleanRL clips values at 0.2 by default, of whatever size they are."""
    clip = {"ppo.value_clip": "absolute", "ppo.value_clip_epsilon": 0.2}
    figures = {
        "value_rmse": 14.0,
        "mean_episode_return": noisy(through((0, -480), (1, -480)), 30.0),
    }
    for explained, found in ((0.2, "too_early"), (0.02, "value_clip_too_tight")):
        log = foreign(30, **figures, explained_variance=explained, learning_rate=1e-3)
        log.settings |= {**clip, "ppo.num_epochs": 10, "ppo.num_minibatches": 4}
        assert first(log) == found
    wide = through((0, 1), (1, 24))
    log = foreign(30, **figures, explained_variance=0.02, policy_std=wide, learning_rate=1e-3)
    log.settings |= {**clip, "ppo.entropy_coefficient": 0.5}
    assert first(log) == "entropy_coefficient_too_high"


def test_a_discount_that_ends_at_the_next_step_is_named_before_what_follows_from_it() -> None:
    """Each return of CartPole is 1.1 then, so that the critic has nothing to explain."""
    log = foreign(90, approx_kl=1e-5, clip_fraction=0.0, learning_rate=2.5e-4,
                  explained_variance=-2.0, value_rmse=through((0, 0.8), (0.1, 0.04), (1, 0.02)),
                  mean_episode_return=noisy(through((0, 22), (1, 22)), 2.0),
                  mean_episode_length=22.0)  # fmt: skip
    assert first(log) == "no_reward_signal"
    log.settings["ppo.gamma"] = 0.1
    finding = diagnose(log)[0]
    assert finding.illness == "gamma_horizon" and "horizon 1.11 steps" in finding.evidence


def test_moderate_targets_are_no_more_than_a_doubt_where_nothing_moves() -> None:
    """Healthy runs of Acrobot have targets of -15 too, and learn."""
    log = foreign(90, approx_kl=1e-6, clip_fraction=0.0, learning_rate=1.2e-4, value_rmse=14.0,
                  explained_variance=0.05, entropy_relative=0.99,
                  mean_episode_return=noisy(through((0, -480), (1, -480)), 30.0))  # fmt: skip
    log.settings |= {"ppo.num_epochs": 4, "ppo.num_minibatches": 4, "ppo.max_grad_norm": 1e-3}
    finding, *others = diagnose(log)
    assert finding.illness == "learning_rate_too_low"
    assert finding.remedy.startswith("max-grad-norm=0.5")
    assert ("reward_scale_too_large", "mild") in {(f.illness, f.severity) for f in others}


def test_sixteen_batches_show_a_start_too_wide_but_no_rise_of_three_errors() -> None:
    """A mean over 100 episodes of Pendulum: low at first by chance, then level."""
    level = [-1231, -1115, -1224, -1213, -1195, -1191, -1192, -1190, -1178, -1172]
    returns = np.array([*level, -1180, -1180, -1179, -1182, -1185, -1182.0])
    log = foreign(16, SB3, policy_std=0.9, mean_episode_return=lambda done: returns)
    assert first(log) == "too_early"
    log.columns["policy_std"][:] = 18.0
    assert first(log) == "actions_out_of_bounds"


def test_a_policy_that_is_sure_of_a_gain_that_never_varies_may_have_won_all() -> None:
    """A training that was resumed into a folder of its own: what came before is not seen."""
    late, start = through((0, 1e5), (1, 1.3e5)), through((0, 1e3), (1, 3e4))
    for steps, gain, found in ((late, 1.0, "too_early"), (start, 1.0, "entropy_collapse"),
                               (late, -800.0, "entropy_collapse")):  # fmt: skip
        returns = noisy(through((0, gain), (1, gain)), 0.01 * abs(gain))
        log = foreign(30, SB3, entropy_relative=0.03, env_steps=steps, mean_episode_return=returns)
        assert first(log) == found


def test_a_value_loss_of_a_hundred_times_its_weight_is_advised_the_usual_one() -> None:
    flat, rising = noisy(through((0, 25), (1, 25)), 2.0), noisy(through((0, 25), (1, 300)), 2.0)
    told, guessed = {"value_loss_weight": 100.0}, {"last_minibatch_loss": 4e3, "policy_loss": 0.0}
    for weight, returns, severity in (
        (told, flat, "severe"),
        (told, rising, "severe"),
        (guessed, flat, "severe"),
        (guessed, rising, "mild"),
    ):
        log = foreign(60, **weight, value_loss=40.0, mean_episode_return=returns)
        finding = diagnose(log)[0]
        assert (finding.illness, finding.severity) == ("value_loss_dominates", severity)
        assert finding.remedy.startswith("vf-coef=0.5;")


def test_a_goal_that_was_reached_once_is_no_broken_simulation() -> None:
    """MountainCarContinuous by Stable-Baselines3: of costs, and once of a hundred for the goal."""

    def log(jump: float) -> MetricsLog:
        found = foreign(40, SB3, policy_std=through((0, 1), (1, 0.4)), value_rmse=0.1,
                        mean_episode_return=through((0, -51.5), (1, -40.0)))  # fmt: skip
        found.columns["value_rmse"][:6] = [0.41, 0.43, 0.37, 0.26, 0.19, 0.16]
        found.columns["value_rmse"][11] = 7.7
        found.columns["mean_episode_return"][11:] += jump
        return found

    (goal, *_), (fault, *_) = diagnose(log(11.0)), diagnose(log(-15.0))
    assert (goal.illness, goal.severity) == ("reward_outlier", "mild")
    assert "goal" in goal.remedy
    assert (fault.illness, fault.severity) == ("reward_outlier", "severe")


@pytest.mark.parametrize("writer", ["ppo", SB3])
def test_a_goal_that_is_found_and_learned_is_no_outlier(writer: str) -> None:
    """MountainCarContinuous: costs, then a hundred once, then ninety in each episode."""
    spike = {"return_std": 0.5, "return_max": 0.0, "return_min": -1.0}
    log = foreign(60, writer, **spike if writer == "ppo" else {"value_rmse": 0.5})
    for name, size in {"return_std": 8.0, "return_max": 99.9, "value_rmse": 8.0}.items():
        if name in log.columns:
            log.columns[name][12] = size
    course = through((0, -30.0), (0.3, -25.0), (0.5, 88.0), (1, 93.0))
    log.columns["mean_episode_return"] = noisy(course)(np.linspace(0, 1, 60))
    assert first(log) == "healthy"
    log.columns["mean_episode_return"] = noisy(through((0, -30), (1, -25)))(np.linspace(0, 1, 60))
    assert first(log) == "reward_outlier"


@pytest.mark.parametrize(("steps", "named"), [(100.0, True), (2000.0, False)])
def test_an_error_as_large_as_what_a_step_brings_is_that_of_rewards(
    steps: float, named: bool
) -> None:
    """As of a critic that is constant, under a reward that is nearly the same at each step."""
    log = foreign(
        60, mean_episode_return=noisy(lambda done: 500 - 200 * done, 9.0), explained_variance=0.0,
        mean_episode_length=steps, value_rmse=lambda done: 30 * np.exp(-4 * done), approx_kl=0.01,
    )  # fmt: skip
    assert ("no_reward_signal" in [finding.illness for finding in diagnose(log)]) is named


def test_a_policy_that_starts_narrow_has_large_gradients_and_not_the_reverse() -> None:
    flat = {"mean_episode_return": noisy(lambda done: -1200 + 0 * done, 60.0), "approx_kl": 0.01}
    large = {"grad_clip_factor": 199.0, "grad_clipped_fraction": 1.0, "explained_variance": 0.6}
    assert first(foreign(40, "ppo", **flat, **large, policy_std=0.007)) == "entropy_collapse"
    assert first(foreign(40, "ppo", **flat, **large, policy_std=0.5)) == "gradients_always_clipped"


@pytest.mark.parametrize(("size", "named"), [(1.5e-3, True), (0.15, False)])
def test_rewards_too_small_are_seen_by_the_returns_where_no_spread_is_logged(
    size: float, named: bool
) -> None:
    log = foreign(
        60, "stable-baselines3", mean_episode_return=noisy(lambda done: -size + 0 * done, size / 9),
        explained_variance=-8.0, value_rmse=lambda done: size * np.exp(-done), approx_kl=0.005,
        mean_episode_length=200.0,
    )  # fmt: skip
    assert (first(log) == "reward_scale_too_small") is named


@pytest.mark.parametrize(("spread", "ill"), [(1.0, False), (16.0, True)])
def test_a_solved_task_leaves_little_to_explain_and_its_gradients_are_no_illness(
    spread: float, ill: bool
) -> None:
    log = foreign(
        60, "ppo", mean_episode_return=noisy(through((0, 20), (0.3, 500), (1, 500)), 5.0),
        explained_variance=through((0, 0.8), (0.25, 0.8), (0.3, 0.0), (1, 0.0)),
        return_std=through((0, 9), (0.25, 16), (0.3, spread), (1, spread)), return_mean=70.0,
        grad_clip_factor=90.0, grad_clipped_fraction=1.0, approx_kl=0.005,
    )  # fmt: skip
    assert (first(log) == "gradients_always_clipped") is ill


@pytest.mark.parametrize(("late", "ill"), [(0.9, False), (0.0, True)])
def test_raw_returns_that_a_critic_comes_to_see_are_no_illness(late: float, ill: bool) -> None:
    """As of CartPole: at first the critic is blind, and its offset is what it has to learn."""
    log = foreign(
        14, "ppo", mean_episode_return=noisy(through((0, 20), (1, 200)), 5.0), approx_kl=0.005,
        explained_variance=through((0, 0.0), (0.5, late / 2), (0.6, late), (1, late)),
        return_std=through((0, 4), (1, 14)), return_mean=through((0, 9), (1, 54)), value_rmse=9.0,
        grad_clip_factor=140.0, grad_clipped_fraction=1.0, bias_share=0.8, batches_to_reach=2.0,
    )  # fmt: skip
    log.settings["ppo.normalize_returns"] = False
    assert (first(log) == "reward_scale_too_large") is ill and ill is not (first(log) == "healthy")


@pytest.mark.parametrize(
    ("error", "named"), [(1.0, "learning_rate_too_low"), (0.1, "no_reward_signal")]
)
def test_a_critic_that_learns_not_even_a_constant_return_tells_the_rate_from_the_reward(
    error: float, named: str
) -> None:
    log = foreign(
        40, "spinning-up", mean_episode_return=-500.0, mean_episode_length=500.0, approx_kl=1e-9,
        value_rmse=through((0, 13.5), (1, 13.5 * error)), entropy_relative=1.0, clip_fraction=0.0,
    )  # fmt: skip
    assert first(log) == named


@pytest.mark.parametrize(
    ("left", "named"), [(1.0, "value_loss_weight_too_small"), (0.1, "no_reward_signal")]
)
def test_a_critic_without_weight_goes_before_a_reward_that_is_not_found_with_it(
    left: float, named: str
) -> None:
    log = foreign(
        40, "stable-baselines3", mean_episode_return=-500.0, mean_episode_length=500.0,
        value_rmse=through((0, 0.6), (1, 0.6 * left)), value_loss=0.4, value_loss_weight=1e-4,
        explained_variance=-4.0, approx_kl=4e-3, entropy_relative=through((0, 1), (1, 0.9)),
    )  # fmt: skip
    assert first(log) == named


def test_a_network_that_nothing_passes_is_the_cause_of_all_that_stands_still() -> None:
    figures = {"explained_variance": tiny(1e-8), "approx_kl": 1e-6, "learning_rate": 3e-4}
    flat = noisy(through((0, 20), (1, 20)), 1.0)
    findings = diagnose(foreign(60, SB3, **figures, clip_fraction=0.0, mean_episode_return=flat))
    assert findings[0].illness == "dead_units"
    assert {"learning_rate_too_low", "no_reward_signal", "critic_blind"} < {*findings[0].explains}
    moves = {**figures, "approx_kl": 0.01}
    assert first(foreign(60, SB3, **moves, mean_episode_return=flat)) != "dead_units"
