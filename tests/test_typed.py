"""The types that a user's script sees: `mypy --strict` finds nothing in one that uses it all."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import ppo

SCRIPT = """
from typing import Any

import numpy as np

import ppo
from ppo import (
    AuxiliaryLoss, Balancer, Callback, Config, Encoder, Memory, Policy, RecordVideo,
    StopAtFatalFinding, StopAtNoImprovement, StopAtReturn, Trainer, ValueClip, ValueHead,
    ValueScale, evaluate, load_policy, read_runs,
)


class Mine(Callback):
    def __init__(self) -> None:
        self.count = 0

    def on_start(self, trainer: Trainer) -> None:
        trainer.call_envs("set_level", 1)

    def on_batch(self, trainer: Trainer, record: dict[str, Any]) -> None:
        self.count += 1
        trainer.log("count", self.count)
        trainer.set("ppo.learning_rate", 1e-4)
        if self.count > 3:
            trainer.stop("enough")

    def on_evaluation(self, trainer: Trainer, row: dict[str, Any]) -> None:
        print(row["mean_return"], trainer.config.ppo.learning_rate)

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.count = state["count"]


PARTS: list[type] = [AuxiliaryLoss, Balancer, Encoder, Memory, ValueClip, ValueHead, ValueScale]


def main() -> float:
    config = Config.load(overrides=["env.id=CartPole-v1"]).with_overrides(["ppo.gamma=0.9"])
    stops = [StopAtReturn(475), StopAtNoImprovement(evaluations=3), StopAtFatalFinding()]
    with Trainer(config, "results", callbacks=[Mine(), *stops, RecordVideo(every=10)]) as trainer:
        summary: dict[str, Any] = trainer.train(batches=2)
        trainer.train(total_timesteps=1000)
        trainer.train(batch=2)  # type: ignore[call-arg]  # strict reports one that is not needed
        found = trainer.evaluate(episodes=2)
        assert trainer.folder is not None
        path = trainer.folder.path
    policy: Policy = load_policy(path, which="latest")
    action = policy.predict(np.zeros((3, 4)), deterministic=True)
    print(ppo.__version__, action, summary, found, read_runs("results").columns)
    mean: float = evaluate(policy, env="CartPole-v1", episodes=10)["mean_return"]
    return mean
"""


def test_the_script_uses_every_public_name() -> None:
    unused = set(ppo.__all__) - set(SCRIPT.replace("(", " ").replace(",", " ").split())
    assert not unused, f"add {unused} to the script"


@pytest.mark.slow
def test_a_user_s_script_passes_strict(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    (tmp_path / "mypy.ini").write_text("[mypy]\n[mypy-torch.*]\nfollow_imports = skip\n")  # 20 s
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache")]
    command += ["--follow-imports", "silent", "script.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment())
    assert done.returncode == 0, done.stdout + done.stderr


def environment() -> dict[str, str]:
    import os

    root = Path(ppo.__file__).parents[1]
    return {**os.environ, "MYPYPATH": str(root), "PYTHONPATH": str(root)}


def test_completion_shows_the_public_names_and_imports_nothing() -> None:
    code = (
        "import sys, ppo; names = dir(ppo); print(*names); "
        "assert 'torch' not in sys.modules and 'ppo.config' not in sys.modules"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    shown = [name for name in found if not name.startswith("_")]
    assert shown == sorted(ppo.__all__), "and none of the helpers"
    assert {"__version__", "__doc__", "__path__"} <= set(found)
    importlib.import_module("ppo.testing")
    assert "testing" in dir(ppo) and getattr(ppo, "Config", None) is not None
