"""What a record and episodes.csv say of episodes, on rows made by hand."""

from __future__ import annotations

import math

import torch
from learner_tools import learner

from ppo.algorithm.record import EpisodeRows
from ppo.algorithm.rollout.collect import Episodes


def rows(terminated: list[int], truncated: list[int], success: list[float]) -> EpisodeRows:
    """An episode of each environment, three steps long, that pays its number."""
    run = learner(
        "CartPole-v1", env__num_envs=len(success), ppo__num_steps=3, ppo__num_minibatches=1
    )
    rollout, _ = run.collector(0)
    run.collector.envs.close()

    def last(values: list) -> torch.Tensor:
        column = torch.tensor(values)
        return torch.stack([torch.zeros_like(column), torch.zeros_like(column), column])

    ends = last(terminated).bool(), last(truncated).bool()
    rollout = rollout._replace(terminated=ends[0], truncated=ends[1], success=last(success))
    finished = ends[0] | ends[1]
    returns = last([float(n) for n in range(len(success))]).unsqueeze(-1)
    return EpisodeRows(rollout, Episodes(finished, returns, last([3.0] * len(success))))


def test_an_end_is_truncated_where_a_time_limit_alone_brought_it() -> None:
    found = rows([1, 0, 1, 0], [0, 1, 1, 0], [math.nan] * 4)
    told = found.csv_rows(7, ("reward",), first_env=10)
    assert [(row["env"], row["end"]) for row in told] == [
        (10, "terminated"), (11, "truncated"), (12, "terminated"),
    ]  # fmt: skip
    assert [row["return"] for row in told] == [0.0, 1.0, 2.0] == [row["reward"] for row in told]
    assert {row["length"] for row in told} == {3} and {row["batch"] for row in told} == {7}
    assert found.summary(None)["timeout_share"] == 1 / 3


def test_a_success_that_is_not_said_is_none_and_no_failure() -> None:
    found = rows([1, 1, 1, 1], [0] * 4, [1.0, math.nan, 0.0, 1.0])
    assert found.summary(None)["success_rate"] == 2 / 3
    assert math.isnan(rows([1], [0], [math.nan]).summary(None)["success_rate"])


def test_an_episode_is_at_the_limit_from_its_length_on() -> None:
    found = rows([1, 1], [0, 0], [math.nan] * 2)
    assert [found.summary(limit)["at_limit_share"] for limit in (2, 3, 4, None)] == [1, 1, 0, 0]
