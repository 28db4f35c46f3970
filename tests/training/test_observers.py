"""Callbacks: what they may read and steer, and that a run with them is resumed to the bit."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from callback_tools import BATCHES, Told, config
from learner_tools import records
from stateful import Harder, Stateful

from ppo import Callback, Config, Trainer
from ppo.core.errors import UserError
from ppo.training.callback_state import pack, unpack
from ppo.training.settings import MOVABLE


def test_everything_is_told_in_order(tmp_path):
    told = Told()
    with Trainer(config(), tmp_path, callbacks=[told]) as trainer:
        trainer.train(batches=3)
    best = [("checkpoint", 2)]  # the first evaluation is the best so far
    assert told.told == [
        ("start", "run0001", "CartPole-v1"), ("batch", 0, 0), ("batch", 1, 1), ("evaluation", 2),
        *best, ("checkpoint", 2), ("batch", 2, 2), ("checkpoint", 3), ("end", "finished"),
    ]  # fmt: skip


def test_a_callback_needs_no_base_class(tmp_path):
    class Bare:
        def on_batch(self, trainer, record):
            trainer.log("two", 2)

    with Trainer(config(), tmp_path, callbacks=[Bare()]) as trainer:
        trainer.train(batches=1)
    assert records(tmp_path / "run0001")[0]["custom/two"] == 2.0
    with pytest.raises(UserError, match=r"Told is a class; write Told\(\.\.\.\)"):
        Trainer(config(), tmp_path, callbacks=[Told])


class Mute:
    def __repr__(self):
        raise RuntimeError("not shown")


def test_what_is_no_number_is_not_logged(tmp_path):
    class Log(Callback):
        def on_batch(self, trainer, record):
            for good in (True, np.float32(2), torch.tensor([3.0]), None):
                trainer.log("good", good)
            for wrong in ("text", "3.5", b"3", [1.0], torch.zeros(2), np.zeros(2), Mute()):
                with pytest.raises(UserError, match="^log: wrong: .* is not a number; allowed: "):
                    trainer.log("wrong", wrong)

    with Trainer(config(), tmp_path, callbacks=[Log()]) as trainer:
        trainer.train(batches=1)
    assert "custom/wrong" not in records(tmp_path / "run0001")[0]


def test_a_resumed_run_takes_back_in_tensorboard_what_is_played_again_and_no_more(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    more = config(logging__tensorboard="true")
    with Trainer(more, tmp_path) as trainer:
        trainer.train(batches=3)
    for path in (tmp_path / "run0001" / "checkpoints").glob("batch_000003-*"):
        path.unlink()  # as after a kill
    with Trainer(more, tmp_path, resume="latest") as trainer:
        trainer.train(batches=2)
    shown = EventAccumulator(str(tmp_path / "run0001" / "tensorboard")).Reload()
    assert [event.step for event in shown.Scalars("loss/total_loss")] == [64, 128, 192, 256]
    assert [event.step for event in shown.Scalars("evaluation/mean_return")] == [128, 256]


def test_what_is_logged_stands_in_the_record_and_in_tensorboard(tmp_path):
    class Log(Callback):
        def on_batch(self, trainer, record):
            trainer.log("batch", record["batch"])
            trainer.log("nothing", math.nan)
            trainer.log("tensor", torch.tensor(0.5))

    with Trainer(config(logging__tensorboard="true"), tmp_path, callbacks=[Log()]) as trainer:
        trainer.train(batches=2)
        with pytest.raises(UserError, match="log: late: .*on_batch"):
            trainer.log("late", 1.0)
    batches = records(tmp_path / "run0001")
    assert [r["custom/batch"] for r in batches] == [0.0, 1.0]
    assert batches[0]["custom/nothing"] is None and batches[0]["custom/tensor"] == 0.5
    from ppo.insight.logs.event_files import read_event_files

    series = read_event_files(list((tmp_path / "run0001" / "tensorboard").iterdir()))
    assert "custom/batch" in str(vars(series))


@pytest.mark.parametrize("backend", ["sync", "torch"])
def test_a_resumed_callback_is_the_one_that_was_never_stopped(tmp_path, backend):
    settled = config(env__backend=backend)
    with Trainer(settled, tmp_path / "a", callbacks=[Stateful()]) as whole:
        whole.train()
        state = whole.learner.state_dict()
    for stop in (1, 2):
        with Trainer(settled, tmp_path / "b", callbacks=[Stateful()],
                     resume="run0001" if stop > 1 else None) as part:  # fmt: skip
            part.train(batches=stop)
    with Trainer(settled, tmp_path / "b", callbacks=[Stateful()], resume="run0001") as rest:
        rest.train(batches=1)
        rest.train()  # in the same process, too
        for name, tensor in rest.learner.state_dict().items():
            assert torch.equal(tensor, state[name]), name
    got, want = (records(tmp_path / x / "run0001") for x in "ba")
    assert got == want
    assert len({r["learning_rate"] for r in want}) > 2 and want[-1]["custom/seen"] == 12 + BATCHES
    assert len({r["entropy_coefficient"] for r in want}) == 3
    evaluations = [(tmp_path / x / "run0001" / "evaluations.json").read_text() for x in "ab"]
    assert evaluations[0] == evaluations[1]
    configs = [Config.load(tmp_path / x / "run0001" / "config.yaml") for x in "ab"]
    assert configs[0] == configs[1]


def test_a_setting_moves_from_the_next_batch_on_and_is_told(tmp_path):
    class Move(Callback):
        def on_batch(self, trainer, record):
            if record["batch"] == 1:
                trainer.set("ppo.learning_rate", 1e-5)
                trainer.set("ppo.entropy_coefficient", trainer.config.ppo.entropy_coefficient)
                assert trainer.config.ppo.learning_rate == 1e-5

    with Trainer(config(), tmp_path, callbacks=[Move()]) as trainer:
        trainer.train(batches=3)
    batches = records(tmp_path / "run0001")
    rates = [r["learning_rate"] for r in batches]
    assert rates[0] == rates[1] > 1e-5 == rates[2]
    assert [r["events"] for r in batches[1:]] == [[f"ppo.learning_rate: {rates[0]:g} -> 1e-05"], []]


def test_a_setting_that_the_checkpoint_would_undo_is_refused(tmp_path):
    with Trainer(config(), tmp_path) as trainer:
        trainer.set("ppo.learning_rate", 1e-5)
        trainer.train(batches=1)
    assert records(tmp_path / "run0001")[0]["learning_rate"] == 1e-5
    with Trainer(config(), tmp_path, resume="latest") as trainer:
        with pytest.raises(UserError, match="set: ppo.learning_rate: train loads what"):
            trainer.set("ppo.learning_rate", 1e-4)
        trainer.train(batches=1)
        trainer.set("ppo.learning_rate", 1e-4)  # the run is there now
        trainer.train(batches=1)
    assert records(tmp_path / "run0001")[2]["learning_rate"] == 1e-4


@pytest.mark.parametrize(("key", "value"), [("ppo.learning_rate", 0.0), ("ppo.clip_epsilon", 0.0),
                                            ("ppo.entropy_coefficient", 0.5)])  # fmt: skip
def test_what_moves_has_its_effect(tmp_path, key, value):
    """Where the next batch would do the same without it, the test is worth nothing."""
    for name in "ab":
        with Trainer(config(), tmp_path / name) as trainer:
            trainer.train(batches=1)
            if name == "b":
                trainer.set(key, max(value, 1e-9))
            trainer.train(batches=2)
    a, b = (records(tmp_path / x / "run0001") for x in "ab")
    assert a[0] == b[0]
    assert a[1]["policy_loss"] != b[1]["policy_loss"] or a[2]["policy_loss"] != b[2]["policy_loss"]
    assert any(key in event for event in b[1]["events"])


def test_the_weights_of_components_move(tmp_path):
    few = config("ThreeScales-v0", env__backend="torch")
    with Trainer(few, tmp_path) as trainer:
        trainer.train(batches=1)
        name = trainer.envs.component_names[0]
        trainer.set("ppo.component_weights", {name: 0.25})
        assert trainer.learner.prepare.settings.component_weights.tolist() == [0.25, 1.0, 1.0]
        with pytest.raises(UserError, match="nobody"):
            trainer.set("ppo.component_weights", {"nobody": 1.0})
        trainer.train(batches=1)
    with Trainer(few, tmp_path, resume="run0001") as trainer:
        trainer.train(batches=1)
        assert trainer.learner.prepare.settings.component_weights.tolist() == [0.25, 1.0, 1.0]


def test_what_cannot_move_is_refused_by_name(tmp_path):
    with Trainer(config(), tmp_path) as trainer:
        with pytest.raises(UserError, match=r"ppo.gamma: cannot be changed.*ppo.learning_rate"):
            trainer.set("ppo.gamma", 0.5)
        for key in set(MOVABLE) - {"ppo.component_weights"}:
            with pytest.raises(UserError, match=key):
                trainer.set(key, math.nan)
            with pytest.raises(UserError, match=key):
                trainer.set(key, "fast")
        assert trainer.settings.state() == {}


def test_a_user_who_resumes_with_another_value_has_the_last_word(tmp_path):
    with Trainer(config(), tmp_path, callbacks=[Stateful()]) as trainer:
        trainer.train(batches=4)
    other = config().with_overrides(["ppo.learning_rate=0.123"])
    with Trainer(other, tmp_path, resume="run0001") as trainer:
        trainer.train(batches=1)
    last = records(tmp_path / "run0001")[4]
    assert last["learning_rate"] == 0.123
    assert any("resumed with ppo.learning_rate=0.123" in event for event in last["events"])
    assert "resumed without the callback Stateful" in last["events"]


def test_a_state_that_cannot_be_saved_is_named(tmp_path):
    class Odd(Callback):
        def state_dict(self):
            return {"seen": [1, {"x": object()}]}

    with pytest.raises(UserError, match=r"callback Odd: state_dict.seen\[1\].x: a object"):
        Trainer(config(), tmp_path, callbacks=[Odd()]).train(batches=1)


def test_a_state_comes_back_as_it_was():
    state = {
        "n": None, "yes": True, "word": "a", "whole": 2**60, "real": [0.1, math.inf, -math.inf],
        "t": torch.arange(6, dtype=torch.bfloat16).reshape(2, 3).t(), "flag": torch.tensor(True),
        "deep": {"empty": torch.zeros(0, 2), "list": [[torch.tensor(math.nan)]]},
    }  # fmt: skip
    tensors: dict = {}
    told = pack(state, "here", tensors)
    back = unpack(json.loads(json.dumps(told, allow_nan=False)), tensors)
    assert list(back) == list(state) and back["real"] == state["real"]
    for name in ("n", "yes", "word", "whole"):
        assert back[name] == state[name] and type(back[name]) is type(state[name])
    for a, b in ((back["t"], state["t"]), (back["flag"], state["flag"]),
                 (back["deep"]["empty"], state["deep"]["empty"])):  # fmt: skip
        assert a.dtype == b.dtype and torch.equal(a, b)
    assert torch.isnan(back["deep"]["list"][0][0])


def test_the_configuration_names_callbacks_that_stand_in_a_module(tmp_path):
    chosen = config(train__callbacks="['stateful:Stateful', 'ppo:StopAtNoImprovement']")
    with Trainer(chosen, tmp_path) as trainer:
        assert list(trainer.callbacks.named) == ["Stateful", "StopAtNoImprovement"]
        trainer.train(batches=1)
    assert "custom/best" in records(tmp_path / "run0001")[0]
    wrong = {"stateful": "package.module:Class", "no_such:X": "cannot be found",
             "stateful:No": "no No; its classes: State", "ppo:StopAtReturn": "value"}  # fmt: skip
    for spec, why in wrong.items():
        with pytest.raises(UserError, match=f"train.callbacks[:=].*{spec}.*: .*{why}"):
            Trainer(config(train__callbacks=f"['{spec}']"), tmp_path)


@pytest.mark.parametrize("backend", ["sync", "async"])
def test_a_resumed_curriculum_is_where_it_was(tmp_path, backend):
    """Its calls fall into running episodes, which are played again with them."""
    few = {"evaluation__interval": 0} | ({"env__workers": 1} if backend == "async" else {})
    chosen = config("curriculum_env:Curriculum-v0", env__backend=backend, **few)
    with Trainer(chosen, tmp_path / "a", callbacks=[Harder()]) as whole:
        whole.train()
    for stop in (2, 3):
        resume = None if stop == 2 else "run0001"
        with Trainer(chosen, tmp_path / "b", callbacks=[Harder()], resume=resume) as part:
            part.train(batches=1)
            part.train(batches=stop - 1)
    with Trainer(chosen, tmp_path / "b", callbacks=[Harder()], resume="run0001") as rest:
        rest.train()
    got, want = (records(tmp_path / x / "run0001") for x in "ba")
    assert got == want
    assert len({r["custom/level"] for r in want if "custom/level" in r}) == 2


def test_environments_are_called_while_there_is_a_training(tmp_path):
    with Trainer(config("curriculum_env:Curriculum-v0"), tmp_path) as trainer:
        with pytest.raises(UserError, match="call_envs: harder: .*on_start"):
            trainer.call_envs("harder", 1.0)
        trainer.train(batches=1)
        assert trainer.call_envs("harder", 1.0) == [1.0] * 4
