"""What the rules must not take for an illness, and what they once missed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_logs import SHAPE, first, foreign, noisy, through

from ppo.insight.doctor import diagnose
from ppo.insight.logs import MetricsLog
from ppo.insight.rules import Change
from ppo.insight.rules._returns import RISES, gain, rises
from ppo.insight.rules.not_learning import NotLearning
from ppo.insight.verdict import status


def test_a_return_that_never_rises_is_not_learning_where_nothing_else_explains_it() -> None:
    flat = {"mean_episode_return": noisy(lambda done: 600 + 0 * done, 50.0)}
    assert first(foreign(**flat)) == "not_learning"
    assert status(foreign(**flat), diagnose(foreign(**flat))) == "not_learning"
    assert first(foreign(**flat, approx_kl=0.4, learning_rate=0.02)) == "learning_rate_too_high"
    for writer in ("cleanrl", "ppo"):  # a short run may be before its rise
        assert first(foreign(20, writer, **flat)) == "too_early"


@pytest.mark.parametrize(
    ("settings", "first_of_all"),
    [
        ({"network.shared_encoder": False}, "ppo.clip_gradients=separate"),
        ({"network.shared_encoder": True}, "ppo.value_loss_weight=0.01"),
        ({"ppo.value_loss_unit": "network"}, "ppo.return_scale=1.0"),
    ],
    ids=str,
)
def test_gradients_that_are_cut_have_a_remedy_that_acts(
    settings: dict[str, object], first_of_all: str
) -> None:
    """`ppo.return_scale` weighs no loss that is measured in variances of its targets."""
    log = foreign(20, "ppo", grad_clip_factor=60, mean_episode_return=noisy(lambda done: 0 * done))
    log.settings |= {"ppo.normalize_returns": True, "ppo.value_loss_unit": "variance"} | settings
    finding = next(f for f in diagnose(log) if f.illness == "gradients_always_clipped")
    assert finding.remedy.startswith(first_of_all)


def test_a_goal_that_is_reached_once_is_neither_a_fault_nor_no_reward() -> None:
    def spike(usual: float, size: float) -> SHAPE:
        return lambda done: np.where(np.arange(len(done)) == 10, size, usual + 0 * done)

    log = foreign(
        30, "ppo", return_std=spike(0.5, 6.6), return_max=spike(0.0, 99.9), return_min=-1.0,
        value_rmse=lambda done: 1.0 - 0.95 * np.minimum(3 * done, 1), explained_variance=0.0,
        mean_episode_return=noisy(lambda done: -20 + 0 * done),
    )  # fmt: skip
    finding, blind = diagnose(log)
    assert (finding.illness, finding.severity) == ("reward_outlier", "mild")
    assert blind.illness == "critic_blind"
    assert finding.remedy.startswith("ppo.num_steps")
    log.columns["return_std"][10] = 0.5
    assert first(log) == "no_reward_signal"


def test_a_return_that_soon_is_high_and_then_steady_has_risen_though_it_dipped() -> None:
    """As where the goal is found in the first batches, and missed now and then at first."""

    def returns(end: float, dips: float, start: float) -> MetricsLog:
        def curve(done: np.ndarray) -> np.ndarray:
            missed = (np.arange(len(done)) % 6 == 2) & (done > 0.2) & (done < 0.7)
            level = np.where(done < 0.03, start, np.where(done < 0.7, 90.0, end))
            return level - dips * missed + np.random.default_rng(0).normal(size=len(done))

        return foreign(48, "ppo", mean_episode_return=curve, action_out_of_bounds_share=0.5)

    def quiet(end: float) -> MetricsLog:
        """Without noise at the end, as where the learning rate has come to 0."""
        log = returns(end, 60.0, -40.0)
        log.columns["mean_episode_return"][-12:] = end
        return log

    assert gain(returns(93.0, 60.0, -40.0)) < RISES and rises(returns(93.0, 60.0, -40.0))
    assert first(returns(93.0, 60.0, -40.0)) == "healthy"
    assert rises(quiet(90.5)) and not rises(quiet(88.0))  # one and three hundredths below its best
    assert not rises(returns(50.0, 60.0, -40.0))  # it was better
    assert not rises(returns(90.0, 0.0, 90.0))  # it never was worse
    assert first(returns(50.0, 60.0, -40.0)) == "actions_out_of_bounds"


@pytest.mark.parametrize(
    "curve",
    [
        lambda done: 100 * np.minimum(done * 3, 1) - 35 * (done > 0.7),  # a third, for good
        lambda done: 100 * np.minimum(done * 3, 1) - 80 * ((done > 0.5) & (done < 0.75)),
        lambda done: 100 * np.minimum(done * 4, 1) - 80 * (np.sin(26 * done) > 0.4) * (done > 0.3),
    ],
    ids=["for good", "in mid-run", "again and again"],
)
def test_returns_that_are_lost_are_a_collapse(curve: SHAPE) -> None:
    assert first(foreign(120, mean_episode_return=noisy(curve))) == "policy_collapse"


def test_a_policy_that_starts_far_too_wide_is_named_where_it_does_not_learn() -> None:
    returns = {"mean_episode_return": noisy(lambda done: 0 * done)}
    assert first(foreign(**returns, policy_std=7.4)) == "actions_out_of_bounds"
    assert first(foreign(**returns, policy_std=1.0)) == "not_learning"


def test_an_entropy_that_noise_wears_down_is_not_held_by_its_bonus() -> None:
    log = foreign(
        60, mean_episode_return=noisy(lambda done: 0 * done), explained_variance=0.02,
        entropy_relative=lambda done: 1 - 0.018 * done, approx_kl=0.004,
    )  # fmt: skip
    assert "entropy_coefficient_too_high" not in [finding.illness for finding in diagnose(log)]


def test_a_return_that_only_falls_from_its_start_was_never_gained() -> None:
    log = foreign(120, mean_episode_return=noisy(lambda done: -100 * np.minimum(2 * done, 1)))
    assert "policy_collapse" not in [finding.illness for finding in diagnose(log)]


def test_a_first_update_that_leaps_is_the_cause_of_the_collapse() -> None:
    log = foreign(
        25, mean_episode_return=noisy(lambda done: -200 - 600 * np.minimum(9 * done, 1), 20.0),
        approx_kl=lambda done: np.where(done == 0, 11.0, 0.0),
        entropy_relative=lambda done: np.where(done == 0, 0.98, 1e-5),
    )  # fmt: skip
    assert first(log) == "learning_rate_too_high"


def test_an_error_that_vanishes_under_a_blind_critic_is_a_reward_that_does_not_arrive() -> None:
    log = foreign(
        30, mean_episode_return=noisy(lambda done: -200 - 100 * done, 40.0),
        value_rmse=lambda done: 0.06 * np.exp(-4 * done), explained_variance=-0.5,
    )  # fmt: skip
    assert first(log) == "no_reward_signal"
    assert first(foreign(10, mean_episode_return=-20.0)) == "too_early"


def test_an_error_that_vanishes_as_the_gain_grows_is_a_task_that_is_solved() -> None:
    """As of Catch, where every ball is caught in the end: return 1, nothing left to explain."""
    log = foreign(
        40, mean_episode_return=noisy(lambda done: 1 - 1.6 * np.exp(-8 * done), 0.03),
        value_rmse=lambda done: np.exp(-6 * done), explained_variance=-0.1, approx_kl=0.01,
    )  # fmt: skip
    assert first(log) == "healthy"


def test_constant_returns_are_no_signal_before_they_are_a_scale() -> None:
    log = foreign(
        60, mean_episode_return=-200.0, value_rmse=90.0, explained_variance=0.0, approx_kl=0.01,
        learning_rate=3e-4,
    )  # fmt: skip
    assert first(log) == "no_reward_signal"


def test_batches_of_a_few_steps_are_too_small_though_the_return_rises() -> None:
    log = foreign(200, mean_episode_return=noisy(lambda done: 300 * done), explained_variance=0.9,
                  mean_episode_length=200.0)  # fmt: skip
    log.columns["env_steps"] = 32.0 * (1 + np.arange(200))
    assert first(log) == "batch_too_small"


def test_a_horizon_of_one_step_is_named_though_the_critic_sees_well() -> None:
    log = foreign(60, mean_episode_return=noisy(lambda done: 0 * done, 5.0),
                  explained_variance=0.95, mean_episode_length=200.0)  # fmt: skip
    log.settings["ppo.gamma"] = 0.2
    assert first(log) == "gamma_horizon"


def test_a_horizon_of_one_step_is_no_illness_where_the_task_is_solved() -> None:
    """As of CartPole with gamma 0.5, which balances to the end of every episode."""

    def log(held: SHAPE) -> MetricsLog:
        learns = noisy(lambda done: 20 + 960 * done, 5.0)
        curve = lambda done: np.where(done < 0.5, learns(done), held(done))  # noqa: E731
        log = foreign(60, "ppo", explained_variance=0.95, mean_episode_length=200.0,
                      mean_episode_return=curve)  # fmt: skip
        log.settings["ppo.gamma"] = 0.5
        return log

    assert first(log(lambda done: 500 + 0 * done)) == "healthy"
    for noise in (10.0, 200.0):  # a plateau, and no limit
        assert first(log(noisy(lambda done: 500 + 0 * done, noise))) == "gamma_horizon"


def _two_losses(log: MetricsLog) -> MetricsLog:
    done = np.linspace(0, 1, len(log))
    losses = {"late": np.ones(len(log)), "soon": np.exp(-4 * done)}
    log.components = {name: {"loss": loss} for name, loss in losses.items()}
    return log


def test_a_horizon_of_one_step_is_the_cause_of_epochs_that_overfit() -> None:
    """As of Catch, whose only reward comes after nine steps."""
    log = foreign(40, "ppo", mean_episode_return=noisy(lambda done: done, 0.1), approx_kl=0.015,
                  approx_kl_first_epoch=1e-4, approx_kl_last_epoch=0.03, clip_fraction=0.25,
                  explained_variance=0.9, mean_episode_length=9.0)  # fmt: skip
    assert first(log) == "too_many_epochs"
    log.settings["ppo.gamma"] = 0.01
    found = diagnose(log)[0]
    assert found.illness == "gamma_horizon" and found.severity == "severe"
    log.columns["mean_episode_length"] = np.full(40, 2.0)  # no longer than what it sees
    assert first(log) == "too_many_epochs"


def test_a_heavy_bonus_is_named_though_its_critic_sees_nothing() -> None:
    log = foreign(40, "ppo", mean_episode_return=noisy(lambda done: 0 * done, 0.1),
                  approx_kl=0.005, entropy_relative=0.975, entropy_coefficient=2.0,
                  explained_variance=0.1)  # fmt: skip
    assert first(log) == "entropy_coefficient_too_high"
    log.columns["entropy_coefficient"][:] = 0.01
    assert first(log) != "entropy_coefficient_too_high"


def test_a_cause_that_is_seen_comes_before_returns_that_are_nearly_the_same() -> None:
    """As Acrobot's, of which a few episodes reach the goal before 500 steps are over."""

    def log(rate: float, size: float, noise: float) -> MetricsLog:
        lucky = np.maximum(np.random.default_rng(0).normal(size=30), 0.0)
        found = foreign(30, "stable-baselines3", learning_rate=rate, clip_fraction=0.0,
                        approx_kl=1e-6 if rate < 1e-5 else 0.01,
                        explained_variance=0.0, value_rmse=60.0 * size)  # fmt: skip
        found.columns["mean_episode_return"] = size * (noise * lucky - 500)
        return found

    assert first(log(1e-6, 1.0, 1.0)) == first(log(1e-6, 1.0, 0.0)) == "learning_rate_too_low"
    assert first(log(3e-4, 1e3, 1.0)) == "reward_scale_too_large"
    assert first(log(3e-4, 1e3, 0.0)) == first(log(3e-4, 1.0, 1.0)) == "no_reward_signal"


def test_a_policy_that_widens_at_one_pace_is_ill_though_it_learns() -> None:
    """As a double pendulum of Stable-Baselines3 with a bonus of 1, whose log does not hold it."""

    def log(std: SHAPE, **figures: float) -> MetricsLog:
        return foreign(24, "stable-baselines3", mean_episode_return=lambda done: 50 + 40 * done,
                       policy_std=std, explained_variance=0.3, approx_kl=0.005,
                       **figures)  # fmt: skip

    steady, slowing = (lambda done: 1.6**done), (lambda done: 1 + 0.6 * np.sqrt(done))
    assert first(log(steady)) == "entropy_coefficient_too_high"
    assert first(log(steady, entropy_coefficient=0.5)) == "entropy_coefficient_too_high"
    assert first(log(steady, entropy_coefficient=0.01)) == "healthy"
    assert first(log(slowing)) == "healthy"


def test_a_loss_that_stands_still_is_no_cause_where_the_policy_cannot_reach_its_reward() -> None:
    wide = foreign(30, "ppo", policy_std=lambda done: np.exp(3 * done), entropy_coefficient=1.0,
                   mean_episode_return=noisy(lambda done: 0 * done, 5.0))  # fmt: skip
    short = foreign(30, "ppo", explained_variance=0.95, mean_episode_length=200.0,
                    mean_episode_return=noisy(lambda done: 0 * done, 5.0))  # fmt: skip
    short.settings["ppo.gamma"] = 0.2
    for log, cause in ((wide, "entropy_coefficient_too_high"), (short, "gamma_horizon")):
        names = [finding.illness for finding in diagnose(_two_losses(log))]
        assert names[0] == cause and "loss_imbalance" in names


def test_the_first_advice_is_the_cause_of_the_narrow_or_wide_policy() -> None:
    curve = noisy(lambda done: 0 * done, 5.0)
    narrow = foreign(30, "ppo", policy_std=0.01, mean_episode_return=curve,
                     entropy_coefficient=0.0, explained_variance=0.1)  # fmt: skip
    narrow.settings["network.initial_log_std"] = -4.6
    assert diagnose(narrow)[0].remedy.startswith("network.initial_log_std=0.0")
    wide = foreign(30, "ppo", policy_std=lambda done: np.exp(3 * done), entropy_coefficient=1.0,
                   mean_episode_return=curve)  # fmt: skip
    assert diagnose(wide)[0].remedy.startswith("ppo.entropy_coefficient=0.01")


def test_jumps_of_a_run_that_rises_under_a_critic_that_sees_are_healthy() -> None:
    log = foreign(
        74, "stable-baselines3", mean_episode_return=lambda done: 30 * done,
        approx_kl=0.035, clip_fraction=0.1, explained_variance=0.98,
    )  # fmt: skip
    assert first(log) == "healthy"
    log.columns["mean_episode_return"] = np.zeros(74) - np.linspace(0, 1, 74)
    assert "observations_unnormalized" in [finding.illness for finding in diagnose(log)]


def test_an_entropy_that_suffices_for_the_return_to_rise_is_no_collapse() -> None:
    log = foreign(
        400, mean_episode_return=noisy(lambda done: 100 * done, 3.0),
        entropy_relative=lambda done: np.maximum(1 - 20 * done, 0.08), explained_variance=0.7,
    )  # fmt: skip
    assert first(log) == "healthy"
    log.columns["mean_episode_return"] = np.full(400, 10.0) + np.arange(400) % 7
    assert first(log) == "entropy_collapse"


def test_advice_is_a_value_to_type_that_the_run_does_not_have() -> None:
    log = foreign(60, "stable-baselines3", mean_episode_return=0.0, learning_rate=3e-4)
    log.settings |= {"ppo.num_epochs": 10, "ppo.target_kl": 0.01}
    changes = [
        Change("ppo.num_epochs", "10"),
        Change("ppo.target_kl", "1e-2"),
        Change("ppo.learning_rate", "", "a third of what it was", times=1 / 3),
        Change("ppo.num_epochs", "", "half as many epochs", times=0.5),
        Change("ppo.entropy_coefficient", "0.01"),
    ]
    remedy = NotLearning().found(log, 0, "", changes).remedy
    assert remedy == "learning_rate=0.0001; else n_epochs=5; else ent_coef=0.01"


def test_remedies_are_in_the_words_of_the_writer(tmp_path: Path) -> None:
    change = [Change("ppo.entropy_coefficient", "0.01"), Change("network.hidden_sizes", "[64]")]
    for writer, words in {
        "ml-agents": "beta=0.01; else hidden_units=64",
        "skrl": "entropy_loss_scale=0.01",
        "rllib": "entropy_coeff=0.01; else fcnet_hiddens=[64]",
        "tianshou": "ent_coef=0.01",
        "ppo": "ppo.entropy_coefficient=0.01; else network.hidden_sizes=[64]",
    }.items():
        assert NotLearning().found(foreign(writer=writer), 0, "", change).remedy == words


@pytest.mark.parametrize(("error", "cause"), [(13_000.0, "scale"), (150.0, "signal")])
def test_targets_beyond_any_return_were_multiplied_and_hide_the_reward(
    error: float, cause: str
) -> None:
    """The monitor inside counts -1 a step, the wrapper outside makes 1000 of it."""
    log = foreign(48, "stable-baselines3", mean_episode_return=-500.0, mean_episode_length=500.0,
                  value_rmse=error, explained_variance=0.0, learning_rate=3e-4, approx_kl=1e-8,
                  clip_fraction=0.0)  # fmt: skip
    names = {"scale": "reward_scale_too_large", "signal": "no_reward_signal"}
    assert first(log) == names[cause]


@pytest.mark.parametrize(("sizes", "illness"), [([1], "critic_blind"), ([64, 2], "critic_blind"),
                                                ([4], "learning_rate_too_low")])  # fmt: skip
def test_a_network_of_a_unit_or_two_is_not_blamed_on_the_rate(
    sizes: list[int], illness: str
) -> None:
    log = foreign(40, "ppo", approx_kl=2e-5, clip_fraction=0.0, explained_variance=0.0,
                  mean_episode_return=noisy(through((0, 20), (1, 20)), 2.0))  # fmt: skip
    log.settings["network.hidden_sizes"] = sizes
    (found, *_) = diagnose(log)
    assert found.illness == illness
    assert found.remedy.startswith("network.hidden_sizes") is (illness == "critic_blind")
    log.columns.pop("explained_variance")
    log.columns.pop("approx_kl")
    log.columns["mean_episode_return"] = np.resize([20.0, 22.0, 19.0, 24.0, 21.0], 40)
    (found, *_) = diagnose(log)
    assert found.illness == "not_learning"
    assert found.remedy.startswith("network.hidden_sizes") is (sizes != [4])
