"""Logs of a policy that was good before its first batch, as none of their settings tells."""

from __future__ import annotations

import numpy as np
import pytest
from made_logs import first, foreign, noisy, through

from ppo.insight.doctor import diagnose, report
from ppo.insight.logs import MetricsLog
from ppo.insight.rules._returns import begins_late
from ppo.insight.verdict import status

TORN = {
    "approx_kl": through((0, 1.6), (0.04, 0.3), (0.08, 0.02), (1, 0.01)),
    "clip_fraction": through((0, 0.5), (0.05, 0.15), (1, 0.1)),
    "learning_rate": 3e-4,
}


def fine_tuned(rows: int = 80, **columns: object) -> MetricsLog:
    whole = {**TORN, "explained_variance": 0.9, "entropy_relative": 0.3, **columns}
    return foreign(rows, "stable-baselines3", **whole)


@pytest.mark.parametrize("level", [480.0, -160.0])
@pytest.mark.parametrize("writer", ["stable-baselines3", "cleanrl"])
def test_a_first_step_that_is_large_is_no_illness_of_a_policy_that_stays_good(
    level: float, writer: str
) -> None:
    log = fine_tuned(mean_episode_return=noisy(through((0, level), (1, level)), 5.0))
    log.writer = writer
    assert diagnose(log) == [] and status(log, []) == "too_early"
    assert "the policy was trained before" in report(log, [])
    wide = fine_tuned()
    del wide.columns["entropy_relative"]
    wide.columns |= {"policy_std": np.full(80, 0.5), "mean_episode_return": log.returns()}
    assert diagnose(wide) == []


def test_a_large_first_step_that_costs_what_was_won_before_is_named() -> None:
    lost = fine_tuned(mean_episode_return=noisy(through((0, 480), (0.1, 60), (1, 50)), 5.0))
    assert first(lost) == "learning_rate_too_high"


def test_a_policy_that_starts_is_not_taken_for_one_that_was_trained() -> None:
    level = noisy(through((0, -160), (1, -160)), 5.0)
    for fresh in ({"entropy_relative": 0.88}, {"explained_variance": 0.1}):
        log = fine_tuned(mean_episode_return=level, **fresh)
        assert not begins_late(log) and diagnose(log)


def test_a_cloned_policy_under_a_critic_that_starts_is_not_torn_by_its_inputs() -> None:
    sees = through((0, 0.0), (0.2, 0.7), (1, 0.9))
    kept, lost = (
        fine_tuned(mean_episode_return=noisy(through((0, 300), (1, end)), 5.0),
                   explained_variance=sees)
        for end in (300.0, 30.0)
    )  # fmt: skip
    assert "observations_unnormalized" not in [found.illness for found in diagnose(kept)]
    assert first(lost) == "observations_unnormalized"
