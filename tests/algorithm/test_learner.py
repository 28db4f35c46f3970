"""A state of the learner is one buffer: saved, loaded, rolled back and rewound by discovery."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from value_tools import make_learner

from ppo.core.errors import Dropped


class Counter(nn.Module):
    """A state that every rollout moves."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(1))


def with_counter(monkeypatch):
    learner = make_learner()
    learner.counter = Counter()
    collect = learner._collect

    def counted(attempt):
        learner.counter.seen += 1
        return collect(attempt)

    monkeypatch.setattr(learner, "_collect", counted)
    return learner


def test_a_new_state_is_saved_and_loaded(monkeypatch):
    learner = with_counter(monkeypatch)
    learner.step()
    saved = {name: value.clone() for name, value in learner.state_dict().items()}
    learner.step()
    learner.load_state_dict(saved)
    assert saved["counter.seen"].item() == 1 == learner.counter.seen.item()


def test_a_forgotten_state_is_noticed(monkeypatch):
    learner = with_counter(monkeypatch)
    state = dict(learner.state_dict())
    del state["counter.seen"]
    with pytest.raises(RuntimeError, match="counter.seen"):
        learner.load_state_dict(state)


def test_every_tensor_returns_when_a_batch_is_dropped(monkeypatch):
    learner = with_counter(monkeypatch)
    learner.step()
    names = {name.split(".")[-1] for name, _ in learner.named_buffers()}
    assert names >= {"first", "theta", "mean", "last_mean", "horizon", "seen"}
    before = {name: value.clone() for name, value in learner.named_buffers()}

    def dropped(*_):
        raise Dropped("no time")

    monkeypatch.setattr(learner, "_record", dropped)
    with pytest.raises(Dropped):
        learner.step()
    changed = [n for n, value in learner.named_buffers() if not value.equal(before[n])]
    assert changed == []


def test_names_of_earlier_versions_are_read():
    learner = make_learner()
    learner.step()
    new = {name: value.clone() for name, value in learner.state_dict().items()}
    old = {
        {"last_mean": "learner.last_mean", "kl_rate.factor": "learner.kl_factor"}.get(k, k): v
        for k, v in new.items()
    }
    learner.step()
    learner.load_state_dict(old)
    now = learner.state_dict()
    assert all(now[name].equal(value) for name, value in new.items() if "envs." not in name)
