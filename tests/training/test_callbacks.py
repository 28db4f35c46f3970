"""The shipped callbacks end a run when they say, and no earlier."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
from learner_tools import settings

from ppo import StopAtNoImprovement, StopAtReturn, Trainer
from ppo.core.errors import UserError


class Stub(SimpleNamespace):
    """As much of a trainer as a callback sees."""

    reason: str | None = None

    def stop(self, reason: str) -> None:
        self.reason = reason


def test_a_return_counts_once_so_many_episodes_have_it() -> None:
    callback = StopAtReturn(10.0, episodes=3)
    for recent, ends in (([], False), ([99.0, 99.0], False), ([99.0, 9.0, 9.0, 9.0], False),
                         ([0.0, 9.0, 10.0, 11.0], True)):  # fmt: skip
        stub = Stub(recent=recent)
        callback.on_batch(stub, {})
        assert (stub.reason is not None) == ends, recent
    assert stub.reason == "mean return 10 over the last 3 episodes, 10 was asked for"


def test_a_return_of_an_evaluation_counts_too() -> None:
    stub = Stub()
    StopAtReturn(10.0).on_evaluation(stub, {"mean_return": 9.99})
    assert stub.reason is None
    StopAtReturn(10.0).on_evaluation(stub, {"mean_return": 10.0})
    assert stub.reason == "mean return 10 in an evaluation, 10 was asked for"
    with pytest.raises(UserError, match="episodes: 0"):
        StopAtReturn(1.0, episodes=0)


def test_improvement_is_more_than_the_best_and_starts_the_count_anew() -> None:
    callback, stub = StopAtNoImprovement(evaluations=2), Stub()
    for value in (-5.0, -5.0, -4.0, -4.5):
        callback.on_evaluation(stub, {"mean_return": value})
        assert stub.reason is None
    resumed = StopAtNoImprovement(evaluations=2)
    resumed.load_state_dict(callback.state_dict())
    resumed.on_evaluation(stub, {"mean_return": -4.0})
    assert stub.reason == "no evaluation of the last 2 was better than -4"


def test_a_run_ends_at_its_return(tmp_path) -> None:
    """CartPole gives 1 a step: a mean return of at least 5 comes with the first 5 episodes."""
    config = settings("CartPole-v1", train__total_timesteps=64 * 50, evaluation__interval=0)
    with Trainer(config, tmp_path, callbacks=[StopAtReturn(5, episodes=5)]) as trainer:
        summary = trainer.train()
        assert len(trainer.recent) >= 5
    assert summary["status"] == "finished" and summary["batches"] < 5
    assert summary["reason"].startswith("mean return ") and math.isfinite(summary["best_return"])
