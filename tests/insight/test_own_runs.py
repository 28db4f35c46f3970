"""This trainer's own runs under unusual settings: what they logged, and the verdict on it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from made_logs import first, foreign, noisy, through

from ppo.insight.doctor import diagnose
from ppo.insight.logs import read_log


@pytest.mark.parametrize("writer", ["ppo", "stable-baselines3"])
def test_a_batch_of_one_step_shows_no_divergence_and_may_learn(writer: str) -> None:
    """KL and clip fraction are those before each step: 0 before the only one, at any rate."""
    known = {"ppo.num_epochs": 1} | ({"ppo.num_minibatches": 1} if writer == "ppo" else {})
    figures = {"approx_kl": 0.0, "clip_fraction": 0.0, "explained_variance": 0.0,
               "entropy_relative": through((0, 1), (1, 0.96)), "learning_rate": 3e-4}  # fmt: skip
    rising = {"mean_episode_return": noisy(through((0, 21), (1, 48)), 2.0)}
    log = foreign(40, writer, **figures, **rising)
    assert first(log) == "learning_rate_too_low"
    log.settings |= known
    assert first(log) == "healthy"
    slow = foreign(40, writer, **{**figures, "learning_rate": 1e-6},
                   mean_episode_return=noisy(through((0, 21), (1, 21)), 2.0))  # fmt: skip
    slow.settings |= known
    assert first(slow) == "learning_rate_too_low"


def test_a_policy_that_was_good_before_it_was_tuned_is_not_ill_for_staying_so() -> None:
    """CartPole from a run that had solved it: 500 of 500, and units that no longer vary."""
    figures = {"approx_kl": 3e-4, "entropy_relative": 0.36, "explained_variance": 0.4,
               "effective_rank": through((0, 0.24), (1, 0.045)), "at_limit_share": 1.0,
               "learning_rate": 3e-4, "timeout_share": 1.0}  # fmt: skip
    log = foreign(60, "ppo", **figures, mean_episode_return=noisy(through((0, 490), (1, 490)), 5.0))
    assert [f.illness for f in diagnose(log)] == ["not_learning", "dead_units"]
    log.settings["train.initial_policy"] = "run0001"
    assert first(log) == "too_early"
    log.columns["mean_episode_return"] = np.linspace(490, 200, 60)
    assert first(log) in ("not_learning", "policy_collapse")


def test_a_return_that_creeps_up_does_not_excuse_a_network_of_one_unit() -> None:
    """CartPole: 21 to 28 in 40 batches, where one of 64 units comes to 240."""
    log = foreign(
        40,
        "ppo",
        approx_kl=6e-7,
        clip_fraction=0.0,
        explained_variance=0.0,
        bias_share=0.4,
        mean_episode_return=noisy(through((0, 21), (1, 28)), 2.0),
    )
    log.settings["network.hidden_sizes"] = [1]
    assert first(log) == "critic_blind"
    log.columns["approx_kl"] = np.full(40, 2e-4)  # a policy that moves
    assert first(log) == "healthy"


def test_a_narrow_clip_of_gradients_is_no_illness() -> None:
    """CartPole learns as well with `ppo.max_grad_norm: 0.01`, by which each step is cut."""
    log = foreign(40, "ppo", grad_clip_factor=185.0, grad_norm=1.85, explained_variance=0.2,
                  mean_episode_return=noisy(through((0, 21), (1, 320)), 9.0))  # fmt: skip
    log.settings["ppo.max_grad_norm"] = 0.5
    assert first(log) == "gradients_always_clipped"
    log.settings["ppo.max_grad_norm"] = 0.01
    assert first(log) == "healthy"


def test_inputs_too_small_to_tell_states_apart_are_not_blamed_on_the_rate() -> None:
    """CartPole with observations times 1e-4, as they are: no rate mends it."""
    log = foreign(40, "ppo", obs_outlier_share=0.0, obs_std_ratio=12.0, saturated_units=0.0,
                  approx_kl=through((0, 5e-4), (0.45, 2e-4), (0.5, 1e-5), (1, 1e-6)),
                  clip_fraction=0.0, explained_variance=noisy(through((0, 0), (1, 0)), 2e-4),
                  entropy_relative=1.0, learning_rate=through((0, 3e-4), (1, 3e-5)),
                  mean_episode_return=noisy(through((0, 22), (1, 22)), 2.0))  # fmt: skip
    log.settings["env.normalize_observations"] = True
    assert first(log) == "learning_rate_too_low"
    log.settings["env.normalize_observations"] = False
    (found, *_) = diagnose(log)
    assert found.illness == "observations_unnormalized"
    assert found.remedy.startswith("env.normalize_observations=true")


def test_a_common_scale_of_inputs_is_no_illness_where_layers_are_normalized() -> None:
    """CartPole with observations times 1e4 comes to 478 of 500."""
    log = foreign(40, "ppo", obs_outlier_share=0.99, obs_std_ratio=12.0,
                  mean_episode_return=noisy(through((0, 25), (1, 478)), 9.0))  # fmt: skip
    log.settings |= {"env.normalize_observations": False, "network.layer_norm": False}
    assert first(log) == "observations_unnormalized"
    log.settings["network.layer_norm"] = True
    assert first(log) == "healthy"
    log.columns["mean_episode_return"] = np.resize([20.0, 22.0, 19.0, 24.0, 21.0], 40)
    assert first(log) == "observations_unnormalized"


def test_a_value_loss_that_grows_with_the_returns_is_no_loss_that_stands_still() -> None:
    """CartPole with `balancing.kind: uncertainty`: 22 to 241, and the loss with it."""
    log = foreign(40, "ppo", mean_episode_return=noisy(through((0, 22), (1, 241)), 5.0))
    rows = np.linspace(0, 1, 40)
    log.components = {"reward": {"loss": 1.0 + 3.2 * rows}, "end": {"loss": 0.1 - 0.08 * rows}}
    assert first(log) == "healthy"
    log.components["reward"]["loss"] = 1.0 + 0.1 * rows
    assert first(log) == "loss_imbalance"


def test_a_narrow_clip_sets_the_pace_of_a_return_that_creeps() -> None:
    """Pendulum at a clip of 0.01: -1,160 to -1,000, where 0.2 comes to -190."""
    creeps = noisy(through((0, -1150), (0.3, -1150), (1, -980)), 20.0)
    for clip, found in ((0.01, "learning_rate_too_low"), (0.2, "healthy")):
        log = foreign(37, "ppo", approx_kl=6e-5, clip_fraction=0.17, explained_variance=0.9,
                      mean_episode_return=creeps, policy_std=through((0, 1), (1, 0.97)),
                      learning_rate=through((0, 3e-4), (1, 3e-5)))  # fmt: skip
        log.settings["ppo.clip_epsilon"] = clip
        assert first(log) == found
    log.settings["ppo.clip_epsilon"] = 0.01
    assert "ppo.clip_epsilon=0.2" in diagnose(log)[0].remedy


def test_a_heavy_bonus_that_holds_the_policy_shows_within_twenty_batches() -> None:
    """CartPole at a coefficient of 1: 35 to 96, where 0 comes to 500."""
    held = foreign(20, "ppo", entropy_relative=through((0, 0.985), (0.3, 0.93), (1, 0.93)),
                   mean_episode_return=noisy(through((0, 25), (0.4, 88), (1, 88)), 9.0),
                   explained_variance=0.5, approx_kl=1e-3, entropy_coefficient=1.0)  # fmt: skip
    assert first(held) == "entropy_coefficient_too_high"
    assert diagnose(held)[0].remedy.startswith("ppo.entropy_coefficient=0.01")
    held.columns["entropy_coefficient"][:] = 0.0
    assert first(held) != "entropy_coefficient_too_high"


def test_a_clip_that_holds_the_critic_is_no_illness_of_a_policy_that_solves_its_task() -> None:
    """InvertedPendulum: 5 to 830 with the policy's noise within 50,000 steps, 1,000 without."""
    log = foreign(25, "ppo", mean_episode_return=noisy(through((0, 5), (0.5, 200), (1, 830)), 60.0),
                  explained_variance=0.1, value_clip_fraction=0.7, return_std=6.0,
                  return_mean=through((0, 3), (1, 80)), value_rmse=12.0)  # fmt: skip
    log.settings["env.id"] = "InvertedPendulum-v5"
    for played, kwargs, found in (
        (1000.0, {}, "healthy"),
        (900.0, {}, "value_clip_too_tight"),
        (1000.0, {"reset_noise_scale": 0.1}, "value_clip_too_tight"),
    ):
        log.settings["env.kwargs"] = kwargs
        log.columns["played_return"] = np.where(np.arange(25) == 24, played, np.nan)
        assert first(log) == found


@pytest.mark.parametrize(
    ("status", "reason", "named"),
    [("failed", "environment 3 (x), step 9: the observation is not finite: entry 0 is nan", True),
     ("failed", "environment 3 (x): worker died", False), ("finished", "", False)],
)  # fmt: skip
def test_why_a_run_failed_is_part_of_its_log(
    tmp_path: Path, status: str, reason: str, named: bool
) -> None:
    records = [{"batch": i, "env_steps": 99 * i, "mean_episode_return": 9.0 * i} for i in range(8)]
    whole = {"schema_version": 1, "run": "run0001", "batches": records}
    (tmp_path / "loss_metrics.json").write_text(json.dumps(whole))
    (tmp_path / "summary.json").write_text(json.dumps({"status": status, "reason": reason}))
    found = diagnose(read_log(tmp_path))
    assert [finding.illness for finding in found] == ["non_finite"] * named
    assert all("step 9" in f.evidence and "on_nonfinite=reset" in f.remedy for f in found)


@pytest.mark.parametrize(("steps", "named"), [(50.0, "no_reward_signal"), (1000.0, "too_early")])
def test_a_return_that_many_episodes_share_needs_no_twenty_batches(
    steps: float, named: str
) -> None:
    log = foreign(15, "ppo", mean_episode_return=50.0, mean_episode_length=steps, approx_kl=0.01)
    log.columns["env_steps"] *= 2
    assert first(log) == named
    log.columns["mean_episode_return"][7] += 0.01
    assert first(log) == "too_early"


@pytest.mark.parametrize(("entropy", "named"), [(0.2, "healthy"), (0.66, "no_reward_signal")])
def test_a_policy_that_was_trained_before_may_win_the_same_each_time(
    entropy: float, named: str
) -> None:
    """Of Stable-Baselines3, which logs no more of the policy's past than its first entropy."""
    log = foreign(
        90, "stable-baselines3", mean_episode_return=500.0, mean_episode_length=500.0,
        entropy=entropy, approx_kl=0.002, value_rmse=0.001,
        explained_variance=noisy(lambda done: 0.5 + 0 * done, 0.4),
    )  # fmt: skip
    assert first(log) == named


@pytest.mark.parametrize(
    ("kl", "named"), [(0.0, "learning_rate_too_low"), (1e-3, "entropy_coefficient_too_high")]
)
def test_a_policy_that_does_not_move_at_all_is_not_held_by_a_bonus(kl: float, named: str) -> None:
    log = foreign(
        44, "stable-baselines3", mean_episode_return=noisy(lambda done: 22 + 0 * done, 1.0),
        approx_kl=kl, clip_fraction=0.0, entropy_relative=1.0, learning_rate=3e-4,
        explained_variance=0.6, value_rmse=through((0, 9.4), (1, 4.7)),
    )  # fmt: skip
    assert first(log) == named
    assert ("parameters are trained" in diagnose(log)[0].remedy) is (kl == 0)


@pytest.mark.parametrize(
    ("loss", "left", "found"),
    [(-0.015, 1.0, True), (0.3, 1.0, False), (-0.015, 0.5, False)],  # weights of 0.006 and 0.5
)
def test_a_weight_of_nothing_is_seen_of_normalized_returns_too(
    loss: float, left: float, found: bool
) -> None:
    """CartPole with VecNormalize and vf_coef=0: the return rises, to a third of what it may be."""
    log = foreign(
        30, "stable-baselines3", mean_episode_return=through((0, 20), (0.4, 80), (1, 80)),
        value_rmse=through((0, 0.9), (1, 0.9 * left)), value_loss=0.7, explained_variance=-1.0,
        last_minibatch_loss=loss, policy_loss=-0.02, approx_kl=0.006,
    )  # fmt: skip
    named = [finding.illness for finding in diagnose(log)]
    assert ("value_loss_weight_too_small" in named) is found
