"""Results in a folder whose name is bytes that are no text: every mode works there."""

import os
import sys

import pytest

from ppo import cli
from ppo.runs.names import run_names

SMALL = [
    "env.id=CartPole-v1", "env.num_envs=2", "ppo.num_steps=8", "ppo.num_minibatches=1",
    "network.hidden_sizes=[8]", "evaluation.episodes=1", "system.compile=never",
]  # fmt: skip


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return str(tmp_path / os.fsdecode(b"r\xff\xe9"))


def run(monkeypatch, capsys, *words):
    monkeypatch.setattr(sys, "argv", ["ppo", *words])  # command.txt has it
    status = cli.main()
    out, err = capsys.readouterr()
    assert status == 0, err
    return out


def test_every_mode_works_where_the_name_is_no_text(results, monkeypatch, capsys):
    small = [word for setting in SMALL for word in ("--set", setting)]
    place, data = ["--results", results], os.path.join(results, "steps.npz")
    total = ["--set", "train.total_timesteps=32"]
    run(monkeypatch, capsys, "--mode", "single_batch", *place, *small, *total)
    run(monkeypatch, capsys, "--mode", "train", *place, "--resume", "latest")
    run(monkeypatch, capsys, "--mode", "evaluate", *place, "--episodes", "2")
    run(monkeypatch, capsys, "--mode", "diagnose", "latest", *place)
    play = ["--run", "latest", "--data", data, "--episodes", "2"]
    run(monkeypatch, capsys, "--mode", "demonstrate", *place, *play)
    one = ["--set", "imitation.epochs=1", "--set", SMALL[0]]  # of the same environment
    run(monkeypatch, capsys, "--mode", "pretrain", *place, "--data", data, *one)
    assert run_names(results) == ["run0001", "run0002"]
    kept = os.path.join(results, "run0001", "command.txt")
    with open(kept, "rb") as file:
        assert os.fsencode(results) in file.read()
