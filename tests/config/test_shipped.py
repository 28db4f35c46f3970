"""--config and Config.load take a file, or the name of a ready configuration."""

from pathlib import Path

import pytest

from ppo.cli import main
from ppo.config import Config, shipped
from ppo.core.errors import UserError


def test_every_ready_configuration_loads_by_its_name():
    assert {"cartpole", "mujoco"} <= set(shipped.names())
    for name in shipped.names():
        assert Config.load(shipped.find(name)) == Config.load(name) == Config.load(Path(name))


def test_a_file_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cartpole").write_text("ppo: {gamma: 0.5}")
    assert Config.load(shipped.find("cartpole")).ppo.gamma == 0.5
    assert Config.load("cartpole").ppo.gamma == 0.5


def test_a_word_that_is_neither_names_the_ready_ones(capsys):
    with pytest.raises(UserError, match="^cartpol: .* did you mean cartpole.*ready ones"):
        Config.load("cartpol")
    assert main(["--config", "cartpol"]) == 2
    assert "error: --config cartpol: no such file" in capsys.readouterr().err


def test_a_path_that_is_not_there_stays_a_path():
    assert str(shipped.find("nowhere/cartpole.yaml")) == "nowhere/cartpole.yaml"
