"""Which policy is the best, and whose file it is."""

from __future__ import annotations

import json

import torch
from learner_tools import settings

from ppo import Trainer
from ppo.training.evaluations import RunEvaluations


def test_the_best_is_the_highest_and_of_equals_the_newest(monkeypatch):
    found = RunEvaluations(settings("CartPole-v1"), torch.device("cpu"))
    returns = iter([-3.0, 1.0, 0.5, 1.0, -9.0, 2.0])
    monkeypatch.setattr(found, "_result", lambda *_: {"mean_return": next(returns)})
    assert [found.play(None, None) for _ in range(6)] == [True, True, False, True, False, True]
    assert found.best is found.rows[-1] and found.best["mean_return"] == 2.0


def test_the_file_of_the_best_is_of_the_highest_evaluation(tmp_path, monkeypatch):
    returns, play = iter([1.0, 7.0, 3.0, 5.0]), RunEvaluations._result

    def result(self, learner, poll):
        return play(self, learner, poll) | {"mean_return": next(returns)}

    monkeypatch.setattr(RunEvaluations, "_result", result)
    Trainer(settings("CartPole-v1", evaluation__interval=1), tmp_path).train()
    (best,) = (tmp_path / "run0001" / "checkpoints").glob("best_*")
    assert best.name.startswith("best_000002")
    summary = json.loads((tmp_path / "run0001" / "summary.json").read_text())
    assert summary["best_evaluation"]["mean_return"] == 7.0
