"""Logs that lack their beginning, and tasks that become harder: what then cannot be told."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from made_logs import first, foreign, noisy, through

from ppo.insight.doctor import diagnose, report, status
from ppo.insight.logs import from_records

STEPS = 2048
LATE = through((0, 100 * STEPS), (1, 160 * STEPS))
FROM_THE_START = through((0, STEPS), (1, 60 * STEPS))


@pytest.mark.parametrize(
    ("returns", "whole"),
    [
        (noisy(through((0, 480), (1, 480)), 9.0), "not_learning"),
        (through((0, 500), (1, 500)), "no_reward_signal"),
        (noisy(through((0, 300), (0.2, 795), (0.35, 470), (0.5, 800), (0.65, 480), (0.75, 790),
                       (0.85, 480), (1, 600)), 9.0), "policy_collapse"),
    ],
)  # fmt: skip
def test_returns_that_stand_are_not_blamed_where_the_beginning_is_not_seen(
    returns: Any, whole: str
) -> None:
    log = foreign(60, env_steps=LATE, mean_episode_return=returns)
    assert first(foreign(60, env_steps=FROM_THE_START, mean_episode_return=returns)) == whole
    assert diagnose(log) == []
    told = status(log, []), report(log, [])
    assert told[0] == "healthy" or (told[0] == "too_early" and "begins late" in told[1])


def test_what_is_lost_for_the_most_part_is_a_collapse_wherever_the_log_begins() -> None:
    lost = noisy(through((0, 400), (0.5, 480), (0.6, 60), (1, 50)), 4.0)
    assert first(foreign(60, env_steps=LATE, mean_episode_return=lost)) == "policy_collapse"
    zeros = through((0, 0), (1, 0))
    assert first(foreign(60, env_steps=LATE, mean_episode_return=zeros)) == "no_reward_signal"


@pytest.mark.parametrize(
    ("returns", "illness"),
    [
        (noisy(through((0, 0), (0.5, 90), (0.55, 20), (1, 25)), 2.0), "policy_collapse"),
        (noisy(through((0, 90), (0.2, 95), (0.3, 40), (1, 35)), 1.0), "not_learning"),
    ],
)
def test_a_return_that_falls_as_the_task_becomes_harder_is_no_illness(
    returns: Any, illness: str
) -> None:
    for level, found in (
        (through((0, 1), (1, 1)), illness),
        (through((0, 1), (0.2, 1), (0.21, 2), (0.5, 2), (0.51, 3), (1, 3)), "healthy"),
        (through((0, 1), (0.5, 4), (0.6, 3), (1, 2)), illness),  # it became easier
    ):
        log = foreign(60, mean_episode_return=returns, task_level=level)
        assert first(log) in (found, "too_early" if found == "healthy" else found)


def test_a_choice_that_a_log_does_not_tell_is_advised() -> None:
    stuck = foreign(40, "rllib", value_clip_fraction=0.99, explained_variance=0.0,
                    mean_episode_return=noisy(through((0, -1200), (1, -1200)), 90.0))  # fmt: skip
    (found, *_) = diagnose(stuck)
    assert found.illness == "value_clip_too_tight" and found.remedy.startswith("vf_clip_param=inf")
    assert np.isnan(stuck.number("ppo.value_clip_epsilon"))


@pytest.mark.parametrize(("rate", "named"), [(0.02, "learning_rate_too_high"),
                                             (3e-4, "entropy_collapse")])  # fmt: skip
def test_a_policy_that_is_sure_where_a_log_begins_late_was_made_so_by_a_high_rate(
    rate: float, named: str
) -> None:
    sure = {"entropy_relative": 0.01, "approx_kl": 2e-3, "clip_fraction": 0.01,
            "mean_episode_return": noisy(through((0, -800), (1, -800)), 60.0)}  # fmt: skip
    assert first(foreign(30, env_steps=LATE, learning_rate=rate, **sure)) == named
    begun = foreign(30, env_steps=FROM_THE_START, learning_rate=rate, **sure)
    assert first(begun) == "entropy_collapse"


@pytest.mark.parametrize(("name", "ill"), [("custom/level", False), ("info/difficulty", False),
                                           ("custom/sea_level_of_it", True)])  # fmt: skip
def test_a_level_that_a_callback_logs_is_that_of_a_curriculum(name: str, ill: bool) -> None:
    returns = noisy(through((0, 0), (0.5, 90), (0.55, 20), (1, 25)), 2.0)(np.linspace(0, 1, 60))
    records = [
        {"batch": i, "env_steps": 2048 * (i + 1), "mean_episode_return": value, name: i // 31}
        for i, value in enumerate(returns.tolist())
    ]
    found = [finding.illness for finding in diagnose(from_records(records))]
    assert ("policy_collapse" in found) is ill
