"""A look at a batch, or at an environment, is not kept waiting by a compiler."""

from __future__ import annotations

import pytest

from ppo import Config, Trainer
from ppo.algorithm import switch
from ppo.cli import main
from ppo.runs.folder import RunFolder

SMALL = [
    "env.num_envs=4", "ppo.num_steps=16", "ppo.num_minibatches=2", "ppo.num_epochs=1",
    "env.calibration_steps=8",
]  # fmt: skip
SETS = [f"--set={setting}" for setting in SMALL]


@pytest.fixture
def asked(monkeypatch):
    """Whether each learner that is built is compiled; none of them is."""
    found = []
    uses = switch.uses_compile

    def remembered(*args):
        found.append(uses(*args))
        return False

    monkeypatch.setattr(switch.compiling, "obstacle", lambda device: None)
    monkeypatch.setattr(switch.compiling, "repays", lambda *counts: True)
    monkeypatch.setattr(switch, "uses_compile", remembered)
    return found


def test_a_single_batch_compiles_nothing_under_auto(asked, tmp_path):
    assert main(["--mode", "single_batch", "--quiet", "--results", str(tmp_path), *SETS]) == 0
    assert asked == [False]
    config = Config.load(RunFolder.open(tmp_path, "run0001").path / "config.yaml")
    assert config.system.compile == "never"


def test_a_single_batch_compiles_where_that_is_asked_for(asked, tmp_path):
    flags = ["--mode", "single_batch", "--quiet", "--results", str(tmp_path), *SETS]
    assert main([*flags, "--set", "system.compile=always"]) == 0
    assert asked == [True]


def test_a_training_would_be_compiled(asked, tmp_path):
    with Trainer(Config.from_dict({}, SMALL), tmp_path):
        assert asked == [True]


def test_an_inspection_compiles_nothing(asked):
    assert main(["--mode", "inspect", "--json", "--steps", "100", *SETS]) == 0
    assert asked == [False]
