"""Which policy is the best, and whose file it is."""

from __future__ import annotations

import json

import pytest
import torch
from learner_tools import settings

from ppo import Trainer
from ppo.algorithm import learner
from ppo.training.evaluations import RunEvaluations


def test_the_best_is_the_highest_and_of_equals_the_newest(monkeypatch):
    found = RunEvaluations(settings("CartPole-v1"), torch.device("cpu"))
    returns = iter([-3.0, 1.0, 0.5, 1.0, -9.0, 2.0])
    monkeypatch.setattr(found, "_result", lambda *_: {"mean_return": next(returns)})
    assert [found.play(None, None) for _ in range(6)] == [True, True, False, True, False, True]
    assert found.best is found.rows[-1] and found.best["mean_return"] == 2.0


@pytest.mark.parametrize("tried_again", [False, True])
def test_the_batch_that_reaches_the_total_is_evaluated(tmp_path, monkeypatch, tried_again):
    """A batch that was tried again takes twice as many steps, which jump over the total."""
    faults = iter(["", "a fault"]) if tried_again else iter([])
    monkeypatch.setattr(learner, "fault_of", lambda values: next(faults, ""))
    config = settings("CartPole-v1", train__total_timesteps=128, evaluation__interval=0)
    with Trainer(config, tmp_path) as trainer:
        trainer.train()
        batches = trainer.learner.counters["batch"]
        assert trainer.learner.counters["env_steps"] == (192 if tried_again else 128)
        assert [row["batch"] for row in trainer.evaluations] == [batches] == [2]
        trainer.train(batches=2)  # beyond it
        assert len(trainer.evaluations) == 1


def test_the_file_of_the_best_is_of_the_highest_evaluation(tmp_path, monkeypatch):
    returns = iter([1.0, 7.0, 3.0, 5.0])

    def result(self, trained, poll):
        counters = trained.counters
        others = {"mean_length": 1.0, "success_rate": None, "batch": counters["batch"]}
        return {"mean_return": next(returns), "env_steps": 0, **others}

    monkeypatch.setattr(RunEvaluations, "_result", result)
    Trainer(settings("CartPole-v1", evaluation__interval=1), tmp_path).train()
    (best,) = (tmp_path / "run0001" / "checkpoints").glob("best_*")
    assert best.name.startswith("best_000002")
    summary = json.loads((tmp_path / "run0001" / "summary.json").read_text())
    assert summary["best_evaluation"]["mean_return"] == 7.0
