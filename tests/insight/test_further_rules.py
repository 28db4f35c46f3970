"""More of what the rules must not take for an illness, and of what they once missed."""

from __future__ import annotations

from made_logs import first, foreign, noisy, through

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
