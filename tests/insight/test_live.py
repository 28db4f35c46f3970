"""The doctor inside a training of Stable-Baselines3, of which a stub stands for the library."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from typing import Any

import pytest

import ppo.doctor
from ppo.core.errors import UserError
from ppo.insight.live import stable_baselines3_callback


class BaseCallback:
    """What the callback uses of the library's own."""

    def __init__(self, verbose: int = 0) -> None:
        self.verbose, self.num_timesteps = verbose, 0

    def init(self, model: Any) -> None:
        self.model, self.logger = model, model.logger


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    names = ["stable_baselines3", "stable_baselines3.common", "stable_baselines3.common.callbacks"]
    for name in names:
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    sys.modules[names[-1]].BaseCallback = BaseCallback  # type: ignore[attr-defined]
    stable_baselines3_callback.cache_clear()
    yield
    stable_baselines3_callback.cache_clear()


def train(callback: Any, kl: float, batches: int = 40) -> None:
    """Calls what the library calls, in its order: rollout, update, and the next rollout."""
    model = types.SimpleNamespace(
        n_epochs=10, n_steps=256, gamma=0.99, ent_coef=0.0, vf_coef=0.5, target_kl=None,
        learning_rate=0.02, ep_info_buffer=[], logger=types.SimpleNamespace(name_to_value={}),
    )  # fmt: skip
    callback.init(model)
    callback._on_training_start()
    for i in range(batches):
        callback._on_rollout_start()
        model.logger.name_to_value.clear()  # it writes its figures out here
        assert callback._on_step()
        callback.num_timesteps += 256
        model.ep_info_buffer = [{"r": 20.0 + i % 3, "l": 20}]
        callback._on_rollout_end()
        model.logger.name_to_value.update(
            {
                "train/approx_kl": kl, "train/clip_fraction": 0.1, "train/value_loss": 4.0,
                "train/policy_gradient_loss": -0.01, "train/entropy_loss": -0.6,
                "train/explained_variance": 0.9, "train/learning_rate": 0.02,
            }
        )  # fmt: skip
    callback._on_training_end()


def test_findings_are_printed_while_it_trains(library: None, capsys: Any) -> None:
    callback = ppo.doctor.StableBaselines3Callback()
    assert isinstance(callback, BaseCallback)
    train(callback, kl=0.6)
    assert callback.watch.findings[0].illness == "learning_rate_too_high"
    told = capsys.readouterr().out
    assert "doctor: learning_rate_too_high" in told and "try learning_rate=0.0003" in told


def test_every_update_is_a_record_of_its_own_rollout(library: None) -> None:
    callback = ppo.doctor.StableBaselines3Callback()
    train(callback, kl=0.01, batches=5)
    records = callback.watch._records
    assert [record["env_steps"] for record in records] == [256, 512, 768, 1024, 1280]
    assert records[0]["mean_episode_return"] == 20.0 and records[0]["value_rmse"] == 2.0
    assert records[0]["entropy"] == 0.6


def test_without_the_library_one_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "stable_baselines3", None)
    stable_baselines3_callback.cache_clear()
    with pytest.raises(UserError, match="not installed"):
        _ = ppo.doctor.StableBaselines3Callback


def test_a_plain_loop_uses_watch() -> None:
    watch = ppo.doctor.Watch()
    found = [f for i in range(40) for f in watch.update({"batch": i, "approx_kl": 0.9})]
    assert [finding.illness for finding in found] == ["learning_rate_too_high"]
