"""Logs that are a part of a run: a few rows, a middle, a few columns."""

from __future__ import annotations

import numpy as np
import pytest
from made_logs import first, foreign, noisy, through

from ppo.insight.logs import MetricsLog

WRITERS = ["cleanrl", "stable-baselines3"]


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("rows", [6, 12, 19])
def test_a_rate_that_moves_nothing_shows_in_a_few_rows(writer: str, rows: int) -> None:
    still = {"mean_episode_return": noisy(through((0, -180), (1, -165)), 4.0), "approx_kl": 1e-7,
             "clip_fraction": 0.0}  # fmt: skip
    assert first(foreign(rows, writer, learning_rate=1e-6, **still)) == "learning_rate_too_low"
    fading = foreign(rows, writer, learning_rate=through((0, 9e-6), (1, 1e-7)), **still)
    assert first(fading) != "learning_rate_too_low"  # the end of a schedule


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("rows", [8, 19, 30])
def test_what_stands_still_at_a_high_rate_needs_no_higher_one(writer: str, rows: int) -> None:
    dead = foreign(rows, writer, mean_episode_return=noisy(through((0, 9.4), (1, 9.4)), 0.1),
                   approx_kl=0.0, clip_fraction=0.0, entropy=0.0, learning_rate=0.03,
                   explained_variance=0.98, value_rmse=0.4)  # fmt: skip
    assert first(dead) == "learning_rate_too_high"


def test_samples_outside_a_narrow_clip_are_no_sign_of_a_high_rate() -> None:
    narrow = {"clip_fraction": 0.45, "clip_range": 0.01, "learning_rate": 3e-4,
              "mean_episode_return": noisy(through((0, 20), (1, 20)), 2.0)}  # fmt: skip
    assert first(foreign(30, **narrow, approx_kl=2e-3)) != "learning_rate_too_high"
    assert first(foreign(30, **narrow, approx_kl=3e-5)) == "learning_rate_too_low"
    assert first(foreign(30, **{**narrow, "clip_range": 0.2}, approx_kl=2e-3)) == (
        "learning_rate_too_high"
    )


def test_without_a_return_neither_critic_nor_bonus_is_blamed_for_it() -> None:
    late = {"explained_variance": 0.0, "approx_kl": 0.004, "value_rmse": through((0, 60), (1, 23)),
            "entropy_relative": through((0, 1.0), (1, 0.85))}  # fmt: skip
    assert first(foreign(30, **late)) == "too_early"
    held = {"explained_variance": 0.5, "approx_kl": 1e-3,
            "entropy_relative": through((0, 1.0), (0.5, 0.97), (1, 0.96))}  # fmt: skip
    assert first(foreign(32, **held)) == "too_early"
    stands = noisy(through((0, 20), (1, 20)))
    assert first(foreign(32, **held, mean_episode_return=stands)) == "entropy_coefficient_too_high"


@pytest.mark.parametrize("writer", WRITERS)
def test_a_policy_near_uniform_that_gets_surer_and_better_is_healthy(writer: str) -> None:
    """Discrete actions of a slow start: 0.4 % are missing to the maximum, then 1.2 %."""
    slow = foreign(30, writer, mean_episode_return=noisy(through((0, -170), (1, -116)), 1.0),
                   entropy_relative=through((0, 1.0), (0.2, 0.997), (0.8, 0.993), (1, 0.987)),
                   approx_kl=5e-4, explained_variance=0.0)  # fmt: skip
    assert first(slow) == "healthy"


@pytest.mark.parametrize("writer", WRITERS)
def test_a_policy_that_gets_sure_of_less_than_it_began_with_has_collapsed(writer: str) -> None:
    """Its falling return makes the targets large: an effect."""
    sunk = through((0, -175), (0.35, -140), (0.45, -180), (0.7, -750), (1, -880))
    log = foreign(30, writer, mean_episode_return=noisy(sunk, 3.0), approx_kl=5e-3,
                  entropy_relative=through((0, 1), (0.35, 0.9), (0.8, 0.05), (1, 0.03)),
                  explained_variance=0.0, learning_rate=3e-4,
                  value_rmse=through((0, 60), (0.4, 40), (0.55, 160), (1, 200)))  # fmt: skip
    log.columns["env_steps"] *= 2.0
    assert first(log) == "entropy_collapse"


def test_a_narrow_policy_of_a_log_without_its_beginning_may_have_been_trained_so() -> None:
    columns = {"policy_std": 0.03, "mean_episode_return": noisy(through((0, -150), (1, -150)), 9.0)}
    log = foreign(8, "stable-baselines3", **columns)
    assert first(log) == "entropy_collapse"
    log.columns["env_steps"] += 50_000.0
    assert first(log) != "entropy_collapse"


def test_a_crash_is_no_noise_of_a_mean_over_many_episodes() -> None:
    """Where a batch ends more episodes than the mean is over, it falls at once."""
    crash = through((0, 26), (0.71, 180), (0.74, 132), (0.77, 10), (1, 16))
    for rows in (32, 64):
        log = foreign(rows, "stable-baselines3", mean_episode_return=noisy(crash, 0.5))
        assert first(log) == "policy_collapse"


def test_a_mean_over_many_episodes_that_drifts_is_no_collapse() -> None:
    """Of the last 100 episodes, whose level never changes; 10 end in a batch."""
    for seed in range(20):
        episodes = np.random.default_rng(seed).normal(200.0, 300.0, 890)
        log = foreign(80, "stable-baselines3", mean_episode_return=0.0)
        log.columns["mean_episode_return"] = np.convolve(episodes, np.ones(100) / 100, "valid")[
            ::10
        ]
        assert first(log) != "policy_collapse", seed


def test_a_tiny_batch_shows_in_a_few_rows_and_explains_the_rest() -> None:
    def tiny(steps: float) -> MetricsLog:
        returns = noisy(through((0, -1200), (1, -1200)))
        log = foreign(12, "stable-baselines3", mean_episode_length=200, explained_variance=0.0,
                      value_rmse=150, mean_episode_return=returns)  # fmt: skip
        log.columns["env_steps"] = steps * (1 + np.arange(12.0))
        return log

    assert first(tiny(16)) == "batch_too_small"
    assert first(tiny(1000)) != "batch_too_small"


@pytest.mark.parametrize(
    ("std", "loss", "named"),
    [(through((0, 1), (1, 1.00003)), 6000.0, True),  # skrl at a rate of 1e-7
     (through((0, 1), (1, 0.86)), 6000.0, False),
     (1.0, 6000.0, False),  # a standard deviation that is not learned
     (through((0, 1), (1, 1.00003)), through((0, 6000), (1, 300)), False)],
)  # fmt: skip
def test_a_policy_that_hardly_moves_shows_in_a_log_without_kl(
    std: object, loss: object, named: bool
) -> None:
    returns = noisy(through((0, -1400), (1, -1400)), 90.0)
    log = foreign(31, "skrl", policy_std=std, value_loss=loss, mean_episode_return=returns)
    assert (first(log) == "learning_rate_too_low") is named
