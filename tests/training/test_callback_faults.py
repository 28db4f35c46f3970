"""Callbacks that end a run, fail, are interrupted or ask for what they may not."""

from __future__ import annotations

import json

import pytest
from callback_tools import BATCHES, Told, config, summary
from learner_tools import records

from ppo import Callback, Trainer
from ppo.core.errors import RunError, UserError


class StopAt(Callback):
    def __init__(self, batch: int) -> None:
        self.batch = batch

    def on_batch(self, trainer, record):
        if record["batch"] >= self.batch:
            trainer.stop("enough")


def test_a_callback_ends_the_run_after_its_batch(tmp_path):
    with Trainer(config(), tmp_path, callbacks=[StopAt(2)]) as trainer:
        told = trainer.train()
        assert trainer.exit_status == 0
    assert (told["status"], told["reason"], told["batches"]) == ("finished", "enough", 3)
    assert summary(tmp_path)["reason"] == "enough"
    assert [row["batch"] for row in trainer.evaluations] == [2, 3], "the end is evaluated"
    with Trainer(config(), tmp_path, resume="run0001") as trainer:
        told = trainer.train()
    assert told["batches"] == BATCHES and told["reason"] is None, "a resume goes on"


def test_a_run_killed_while_a_callback_ends_it_makes_no_further_batch(tmp_path, monkeypatch):
    with Trainer(config(), tmp_path, callbacks=[StopAt(3)]) as trainer:
        monkeypatch.setattr(trainer, "_close", lambda: {})  # killed after the last checkpoint
        trainer.train()
        trainer.folder.release()
    assert summary(tmp_path)["status"] == "running"
    with Trainer(config(), tmp_path, callbacks=[StopAt(3)], resume="run0001") as trainer:
        told = trainer.train()
    assert told["batches"] == 4 and told["reason"] == "enough"


class Fails(Callback):
    def __init__(self, event: str, error: BaseException) -> None:
        def fail(*_):
            trainer = _[0]
            if event == "on_batch" and _[1]["batch"] == 1:
                trainer.log("before", 1.0)
            elif event == "on_batch":
                return
            raise error

        setattr(self, event, fail)


DONE = {"on_start": 0, "on_batch": 2, "on_evaluation": 2, "on_checkpoint": 2, "on_end": 3}


@pytest.mark.parametrize("event", DONE)
def test_a_fault_in_a_callback_names_it_and_loses_nothing(tmp_path, event):
    told = Told()
    failing = Trainer(config(), tmp_path, callbacks=[Fails(event, KeyError("x")), told])
    with pytest.raises(RunError, match=rf"callback Fails: {event} raised KeyError\('x'\)") as found:
        failing.train(batches=3)
    assert isinstance(found.value.__cause__, KeyError)
    assert failing.status == "failed" and failing.exit_status == 1
    end = summary(tmp_path)
    done = DONE[event]  # batches
    assert end["status"] == "failed" and "Fails" in end["reason"]
    log = json.loads((tmp_path / "run0001" / "loss_metrics.json").read_text())["batches"]
    assert len(log) == end["batches"] == done
    assert [entry[0] for entry in told.told][-1] == "end", "the others are told all the same"
    if event == "on_batch":
        assert log[1]["custom/before"] == 1.0, "the record is written"
    with Trainer(config(), tmp_path, resume="run0001") as again:
        again.train(batches=1)
        assert again.learner.counters["batch"] == done + 1, "and the run saved"


@pytest.mark.parametrize("event", DONE)
def test_a_callback_that_is_interrupted_ends_the_run_as_ctrl_c_does(tmp_path, event):
    quick = config(train__grace_seconds=0)
    with Trainer(quick, tmp_path, callbacks=[Fails(event, KeyboardInterrupt())]) as trainer:
        told = trainer.train(batches=3)
        assert (told["status"], trainer.exit_status) == ("interrupted", 130)
        assert told["batches"] == DONE[event]
    assert summary(tmp_path)["status"] == "interrupted"
    with Trainer(quick, tmp_path, resume="run0001") as again:
        again.train(batches=4 - DONE[event])
    with Trainer(quick, tmp_path / "whole") as whole:
        whole.train(batches=4)
    got, want = records(tmp_path / "run0001"), records(tmp_path / "whole" / "run0001")
    for a, b in zip(got, want, strict=True):
        logged = {name for name in a if name.startswith("custom/")}
        assert {k: v for k, v in a.items() if k not in logged | {"events"}} == {
            k: v for k, v in b.items() if k != "events"
        }


def test_a_callback_may_evaluate_and_act_without_a_trace(tmp_path):
    class Look(Callback):
        def on_batch(self, trainer, record):
            trainer.log("evaluated", trainer.evaluate(episodes=2)["mean_return"])
            observation = trainer.envs.observation_space.sample()
            assert trainer.envs.action_space.contains(trainer.policy.predict(observation))
            with pytest.raises(AttributeError):
                trainer.config = None

    chosen = config(network__memory="gru")
    for name, callbacks in (("a", []), ("b", [Look()])):
        with Trainer(chosen, tmp_path / name, callbacks=callbacks) as trainer:
            trainer.train(batches=3)
    a, b = (records(tmp_path / x / "run0001") for x in "ab")
    assert [r.pop("custom/evaluated") for r in b] and a == b


def test_a_mistake_in_a_callback_is_the_users(tmp_path):
    class Wrong(Callback):
        def on_batch(self, trainer, record):
            trainer.set("ppo.num_steps", 4)

    told = "callback Wrong: set: ppo.num_steps: cannot be changed during a run [(]allowed: "
    with pytest.raises(UserError, match=told):
        Trainer(config(), tmp_path, callbacks=[Wrong()]).train(batches=1)
    assert summary(tmp_path)["exit_status"] == 2


@pytest.mark.parametrize("event", ["on_checkpoint", "on_end"])
def test_nothing_is_steered_where_no_checkpoint_would_hold_it(tmp_path, event):
    class Late(Callback):
        pass

    setattr(Late, event, lambda self, trainer, _: trainer.set("ppo.learning_rate", 1e-5))
    with pytest.raises(UserError, match=f"set: .*{event}"):
        Trainer(config(), tmp_path, callbacks=[Late()]).train(batches=2)


def test_a_callback_cannot_train(tmp_path):
    class Train(Callback):
        def on_batch(self, trainer, record):
            trainer.train(batches=1)

    with pytest.raises(UserError, match="callback Train: train: it is being trained"):
        Trainer(config(), tmp_path, callbacks=[Train()]).train(batches=1)


def test_a_state_that_is_too_long_for_a_checkpoint_is_refused_in_a_line(tmp_path):
    class Long(Callback):
        def state_dict(self):
            return {"returns": [0.1234567890123] * 600_000}

    with (
        Trainer(config(), tmp_path, callbacks=[Long()]) as trainer,
        pytest.raises(UserError, match="bytes beside its tensors; .*give tensors in place of long"),
    ):
        trainer.train(batches=2)
    assert summary(tmp_path)["status"] == "failed"
