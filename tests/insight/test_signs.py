"""A reward of the wrong sign is among the causes of a return that falls."""

from __future__ import annotations

import numpy as np
import pytest
from made_logs import first, foreign, noisy, through

from ppo.insight.doctor import diagnose

SIGN = "look at the sign of the reward"


def test_a_fall_in_the_first_batches_points_at_the_sign_as_a_slow_one_does() -> None:
    """CartPole's poles fall as fast as they can, and no later sixth is below the first's end."""
    log = foreign(
        60, "stable-baselines3", mean_episode_length=9.4,
        mean_episode_return=noisy(through((0, 22), (0.08, 9.4), (1, 9.4)), 0.05),
        entropy_relative=through((0, 1), (0.15, 0.6), (1, 0.3)), explained_variance=0.9,
    )  # fmt: skip
    assert first(log) == "not_learning"
    assert diagnose(log)[0].remedies[0].startswith(SIGN)
    assert "it fell" in diagnose(log)[0].evidence


@pytest.mark.parametrize("writer", ["rsl_rl", "monitor.csv", "ml-agents"])
def test_a_fall_that_no_critic_explains_has_the_sign_among_its_causes(writer: str) -> None:
    falls = noisy(through((0, -200), (1, -700)), 20.0)
    log = foreign(100, writer, mean_episode_return=falls)
    assert first(log) == "not_learning" and SIGN in diagnose(log)[0].remedy
    log.columns["policy_std"] = through((0, 1), (1, 0.4))(np.linspace(0, 1, 100))
    assert SIGN in diagnose(log)[0].remedy
    log.columns["policy_std"] = through((0, 1), (1, 1.1))(np.linspace(0, 1, 100))
    assert SIGN not in diagnose(log)[0].remedy, "a policy that learned would have grown surer"


def test_a_level_return_is_not_said_to_have_fallen() -> None:
    for seed in range(10):
        draw = np.random.default_rng(seed)
        log = foreign(100, mean_episode_return=lambda done, d=draw: d.normal(0, 1, len(done)))
        assert all("it fell" not in found.evidence for found in diagnose(log))
