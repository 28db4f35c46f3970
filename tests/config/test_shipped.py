"""--config takes a file, or the name of a ready configuration."""

import pytest

from ppo.config import Config, shipped
from ppo.core.errors import UserError


def test_every_ready_configuration_loads_by_its_name():
    assert {"cartpole", "mujoco"} <= set(shipped.names())
    for name in shipped.names():
        Config.load(shipped.find(name))


def test_a_file_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cartpole").write_text("ppo: {gamma: 0.5}")
    assert Config.load(shipped.find("cartpole")).ppo.gamma == 0.5


def test_a_word_that_is_neither_names_the_ready_ones():
    with pytest.raises(UserError, match="--config cartpol: .* did you mean cartpole.*ready ones"):
        shipped.find("cartpol")


def test_a_path_that_is_not_there_stays_a_path():
    assert str(shipped.find("nowhere/cartpole.yaml")) == "nowhere/cartpole.yaml"
