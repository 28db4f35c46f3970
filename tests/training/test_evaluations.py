"""Which policy is the best, and whose file it is."""

from __future__ import annotations

import contextlib
import io
import json

import pytest
import torch
from learner_tools import settings

from ppo import Trainer
from ppo.algorithm import learner
from ppo.cli.console import Console
from ppo.training import evaluations
from ppo.training.evaluations import RunEvaluations


def test_the_best_is_the_highest_and_of_equals_the_newest(monkeypatch):
    found = RunEvaluations(
        settings("CartPole-v1"), torch.device("cpu"), None, lambda *_: contextlib.nullcontext()
    )
    returns = iter([-3.0, 1.0, 0.5, 1.0, -9.0, 2.0])
    monkeypatch.setattr(found, "_result", lambda *_: {"mean_return": next(returns)})
    assert [found.play(None, None) for _ in range(6)] == [True, True, False, True, False, True]
    assert found.best is found.rows[-1] and found.best["mean_return"] == 2.0


def test_a_run_that_goes_on_from_an_earlier_batch_forgets_later_evaluations(tmp_path):
    more = {"train__total_timesteps": 384, "train__checkpoint_interval": 2,
            "evaluation__interval": 2}  # fmt: skip
    with Trainer(settings("CartPole-v1", **more), tmp_path) as trainer:
        trainer.train(batches=4)
        folder = trainer.folder
    for path in folder.checkpoints.glob("batch_000004-*"):
        path.unlink()  # as after a kill
    with Trainer(settings("CartPole-v1", **more), tmp_path, resume="latest") as trainer:
        trainer.train(batches=1)  # the third, which has no evaluation
        assert len(folder.records()) == 3
    assert [row["batch"] for row in folder.read_json("evaluations.json")] == [2]


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


class Heard(Console):
    """A console that keeps what it would tell, and after how many seconds."""

    def __init__(self):
        super().__init__(io.StringIO())
        self.heard = []

    @contextlib.contextmanager
    def waiting(self, text, after=None):
        self.heard.append((text, after))
        yield


@pytest.mark.parametrize(("patience", "times"), [(1e9, 3), (0.0, 1)])
def test_an_evaluation_that_takes_long_tells_once_what_it_waits_for(
    tmp_path, monkeypatch, patience, times
):
    monkeypatch.setattr(evaluations, "LONG", patience)
    config = settings("CartPole-v1", evaluation__interval=1, evaluation__max_steps=40)
    console = Heard()
    Trainer(config, tmp_path, console=console).train(batches=3)
    told = [pair for pair in console.heard if "evaluation.max_steps=40" in pair[0]]
    assert len(told) == times and {seconds for _, seconds in told} == {patience}
