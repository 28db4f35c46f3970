"""More of what the rules must not take for an illness, and of what they once missed."""

from __future__ import annotations

from made_logs import first, foreign, noisy, through

from ppo.insight.doctor import diagnose

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
