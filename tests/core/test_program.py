"""Messages name commands that work where they are read."""

import importlib.metadata
import sys

import pytest

from ppo.cli import main
from ppo.core import program


@pytest.mark.parametrize(
    ("script", "started"),
    [
        ("train_cli.py", "python train_cli.py"),
        ("/home/me/ppo/train_cli.py", "python train_cli.py"),
        ("/venv/bin/ppo", "ppo"),
        ("ppo.exe", "ppo"),
        ("/venv/lib/ppo/__main__.py", "python -m ppo"),
        ("my_script.py", "python train_cli.py"),
    ],
)
def test_the_next_command_begins_as_this_one(monkeypatch, script, started):
    monkeypatch.setattr(sys, "argv", [script])
    assert (
        program.command("train", "--resume", "latest") == f"{started} --mode train --resume latest"
    )


def test_outside_the_repository_the_installed_names_are_used(monkeypatch):
    monkeypatch.setattr(program, "checkout", lambda: None)
    monkeypatch.setattr(sys, "argv", ["my_script.py"])
    assert program.command("train") == "ppo --mode train"
    assert program.install("export") == 'pip install "ppo-stable-values[export]"'


def test_the_other_package_of_this_name_is_mentioned(monkeypatch, capsys):
    assert program.clash() is None
    monkeypatch.setattr(importlib.metadata, "version", lambda name: {"ppo": "0.3"}[name])
    assert main(["--mode", "options", "gamma"]) == 0
    said = capsys.readouterr()
    assert "the package ppo 0.3 is installed beside ppo-stable-values" in said.err
    assert "the package" not in said.out


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"{program.version()}\n"
