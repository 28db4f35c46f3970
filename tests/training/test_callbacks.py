"""The shipped callbacks end a run when they say, and no earlier."""

from __future__ import annotations

import math
import re
from types import SimpleNamespace

import pytest
from learner_tools import settings

from ppo import Callback, Config, RecordVideo, StopAtNoImprovement, StopAtReturn, Trainer
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


@pytest.mark.parametrize("value", ["475", math.nan, None])
def test_a_return_that_no_run_could_reach_is_refused(value) -> None:
    with pytest.raises(UserError, match=r"StopAtReturn: value: .*; allowed: a finite number"):
        StopAtReturn(value)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda value: StopAtReturn(1.0, value), "StopAtReturn: episodes: {}; allowed: a whole "),
        (StopAtNoImprovement, "StopAtNoImprovement: evaluations: {}; allowed: a whole "),
        (RecordVideo, "RecordVideo: every: {}; allowed: a whole "),
        (lambda value: RecordVideo(1, value), "RecordVideo: seed: {}; allowed: a whole "),
    ],
)
@pytest.mark.parametrize("value", ["5", 2.5, True, -1, None])
def test_what_is_counted_is_a_whole_number(make, words: str, value) -> None:
    with pytest.raises(UserError, match=re.escape(words.format(repr(value)))):
        make(value)


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


class Misspelt:
    def on_bath(self, trainer, record): ...


class Inherited(Callback):
    def on_batches(self, trainer, record): ...


class OfBaselines:
    def _on_step(self): ...


def function(trainer, record): ...


NONE = {
    "Misspelt has none of the methods of a callback; it has on_bath: write on_batch": Misspelt(),
    "Inherited has none of .* it has on_batches: write on_batch": Inherited(),
    "OfBaselines has none of .* it has _on_step: write on_batch": OfBaselines(),
    r"function is a function; write a class with on_batch\(trainer, record\)": function,
    "7 has none of the methods": 7,
    "'StopAtReturn' has none of the methods": "StopAtReturn",
    "None has none of the methods": None,
}


@pytest.mark.parametrize("why", NONE)
def test_what_would_never_be_called_is_refused(tmp_path, why: str) -> None:
    for given in ([NONE[why]], NONE[why]):
        with pytest.raises(UserError, match=why) as found:
            Trainer(settings("CartPole-v1"), tmp_path, callbacks=given)
        (line,) = found.value.messages
        assert line.startswith("callbacks: ")
        assert "on_start, on_batch, on_evaluation, on_checkpoint, on_end, state_dict" in line


def test_one_callback_needs_no_list(tmp_path) -> None:
    with Trainer(settings("CartPole-v1"), tmp_path, callbacks=StopAtReturn(5)) as trainer:
        assert list(trainer.callbacks.named) == ["StopAtReturn"]
    with Trainer(settings("CartPole-v1"), tmp_path, callbacks=iter([Callback()])) as trainer:
        assert list(trainer.callbacks.named) == ["Callback"]


NAMED = """
from ppo import Callback

class Misspelt:
    def on_bath(self, trainer, record): ...

class Inherited(Callback):
    def on_batches(self, trainer, record): ...
"""


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ("named_callbacks:Misspelt", "has none of the methods .* it has on_bath: write on_batch"),
        ("named_callbacks:Inherited", "has none of the methods .* on_batches: write on_batch"),
        (
            "ppo:StopAtReturn",
            r"it needs value; write .*callbacks_kwargs.StopAtReturn.value=",
        ),
    ],
)
def test_what_the_configuration_names_can_be_made_and_called(
    tmp_path, monkeypatch, spec: str, why: str
) -> None:
    (tmp_path / "named_callbacks.py").write_text(NAMED)
    monkeypatch.syspath_prepend(tmp_path)
    chosen = settings("CartPole-v1").with_overrides([f"train.callbacks=['{spec}']"])
    with pytest.raises(UserError, match=f"^train.callbacks: {spec}: {why}") as found:
        Trainer(chosen, tmp_path)
    assert len(found.value.messages) == 1


def test_the_configuration_gives_arguments_and_a_resumed_run_has_them(tmp_path) -> None:
    stop = "train.callbacks_kwargs={StopAtReturn: {value: 10000, episodes: 3}}"
    chosen = settings("CartPole-v1").with_overrides(["train.callbacks=['ppo:StopAtReturn']", stop])
    with Trainer(chosen, tmp_path) as trainer:
        trainer.train(batches=1)
    with Trainer(
        Config.load(tmp_path / "run0001" / "config.yaml"), tmp_path, resume="run0001"
    ) as trainer:
        (callback,) = trainer.callbacks.named.values()
        assert (callback.value, callback.episodes) == (10000, 3)
    low = chosen.with_overrides(["train.callbacks_kwargs.StopAtReturn.value=5"])
    with Trainer(low, tmp_path) as trainer:
        assert trainer.train()["reason"].endswith("over the last 3 episodes, 5 was asked for")
