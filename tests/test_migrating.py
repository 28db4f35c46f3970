"""docs/migrating.md: each snippet of ours runs, and is no longer than the one it stands for."""

from __future__ import annotations

import re
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from ppo import Config, Trainer

TINY = [
    "env.num_envs=4", "ppo.num_steps=16", "ppo.num_minibatches=2", "ppo.num_epochs=2",
    "evaluation.interval=1", "evaluation.episodes=2", "network.hidden_sizes=[8]",
    "env.calibration_steps=8", "system.compile=never", "system.device=cpu",
]  # fmt: skip
PAGE = (Path(__file__).parents[1] / "docs" / "migrating.md").read_text(encoding="utf-8")
TASKS = re.findall(r"## (\d+)\. .*?```py\n(.*?)```.*?```python\n(.*?)```", PAGE, re.DOTALL)


def lines(code: str) -> int:
    return len([line for line in code.splitlines() if line.strip()])


def test_there_are_twelve_and_none_of_ours_is_longer():
    assert [int(number) for number, _, _ in TASKS] == list(range(1, 13))
    longer = [number for number, theirs, ours in TASKS if lines(ours) > lines(theirs)]
    assert not longer


def test_every_snippet_of_ours_runs(tmp_path, monkeypatch):
    pytest.importorskip("pandas")
    monkeypatch.chdir(tmp_path)
    load, train = Config.load, Trainer.train
    monkeypatch.setattr(
        Config, "load", lambda path=None, overrides=(): load(path, [*overrides, *TINY])
    )

    def briefly(self, batches=None, total_timesteps=None):
        return train(self, batches=1)

    monkeypatch.setattr(Trainer, "train", briefly)
    names = {
        "observation": np.zeros(4, np.float32),
        "make_my_env": lambda: gym.make("CartPole-v1"),
    }
    for _, _, ours in TASKS:
        exec(ours, names)
    assert len(names["frame"].run.unique()) == 4 and names["config"].ppo.learning_rate == 3e-4
    assert names["action"] in (0, 1) and len(names["interval"]) == 2
