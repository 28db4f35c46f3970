"""`auto` in a file of settings: what is open, what was chosen, and what takes it off the list."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
import yaml

from ppo import Config
from ppo.config.automatic import as_asked, names, reopened
from ppo.core.errors import UserError

STEPS = "ppo.num_steps"


def chosen() -> Config:
    """As a run folder holds it."""
    tree = Config.load(None, ["env.num_envs=4"]).to_dict()
    whole = Config().model_dump()
    values = {name: whole[name.split(".")[0]][name.split(".")[1]] for name in names(Config)}
    del values["env.num_envs"]
    return Config.from_dict(tree).chosen(values, 123)


def test_what_is_left_out_is_open_and_so_is_what_is_auto() -> None:
    assert Config().open == set(names(Config)) == Config.load(None, ["ppo.num_steps=auto"]).open
    assert Config().open - Config.load(None, ["ppo.num_steps=9"]).open == {STEPS}
    assert Config.load(None, ["ppo.target_kl=null"]).open == Config().open - {"ppo.target_kl"}


def test_open_settings_are_written_as_auto_and_read_again(tmp_path: Path) -> None:
    config = Config.load(None, ["env.num_envs=4"])
    for common in (False, True):
        (tmp_path / "c.yaml").write_text(config.to_yaml(common))
        assert "num_steps: auto " in config.to_yaml(common)
        again = Config.load(tmp_path / "c.yaml")
        assert again == config and again.open == config.open
    assert Config.from_dict(config.to_dict()) == config


def test_chosen_settings_are_plain_values_with_a_list_of_them(tmp_path: Path) -> None:
    config = chosen()
    assert not config.open and config.auto.steps == 123
    assert set(config.auto.settings) == set(names(Config)) - {"env.num_envs"}
    (tmp_path / "c.yaml").write_text(config.to_yaml())
    assert Config.load(tmp_path / "c.yaml") == config


@pytest.mark.parametrize(("value", "opened"), [("12", set()), ("auto", {STEPS})])
def test_a_value_takes_a_setting_off_the_list_and_auto_asks_again(value: str, opened: set) -> None:
    again = chosen().with_overrides([f"ppo.num_steps={value}"])
    assert again.open == opened
    assert STEPS not in again.auto.settings
    assert set(again.auto.settings) | {STEPS} == set(chosen().auto.settings)


TAKEN = {"env.backend": "vector", "system.device": "cpu"}


def test_what_auto_was_is_shown_and_is_auto_again_where_nobody_wants_a_value(
    tmp_path: Path,
) -> None:
    file, config = tmp_path / "c.yaml", chosen()
    text = config.showing(TAKEN).to_yaml()
    plain = yaml.safe_load(text)
    assert (plain["env"]["backend"], plain["system"]["device"]) == ("vector", "cpu")
    file.write_text(text)
    assert Config.load(file) == config == Config.load_run(file)[0]
    for typed in ("env.backend=vector", "env.backend=sync"):
        asked = Config.load(file, [typed])
        assert asked.env.backend == typed.partition("=")[2] and asked.system.device == "auto"
    file.write_text(text.replace("\n  backend: vector", "\n  backend: sync"))  # by hand
    assert Config.load(file).env.backend == "sync"


@pytest.mark.parametrize("taken", ["3", "[env.backend]", "{env: 3}", "{env.nothing: x}", "{a: b}"])
def test_a_list_of_what_auto_was_that_is_spoiled_ends_in_a_line_or_does_nothing(
    taken: str, tmp_path: Path
) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(f"env: {{backend: sync}}\nauto: {{taken: {taken}}}\n")
    with contextlib.suppress(UserError):
        assert Config.load(file).env.backend == "sync"


def test_a_setting_that_cannot_be_auto_refuses_it() -> None:
    with pytest.raises(UserError, match="ppo.gamma=auto: must be a number from 0 to 1$"):
        Config.load(None, ["ppo.gamma=auto"])


def test_a_run_is_compared_by_what_was_asked() -> None:
    found = as_asked(
        {"ppo.num_steps": 7, "ppo.gamma": 0.9, "auto.settings": [STEPS], "auto.steps": 3}
    )
    assert found == {"ppo.num_steps": "auto", "ppo.gamma": 0.9}
    assert as_asked({"ppo.num_steps": 7}) == {"ppo.num_steps": 7}
    for backend, asked in (("vector", "auto"), ("sync", "sync")):  # one was written by hand
        shown = {"env.backend": backend, "auto.taken.env.backend": "vector"}
        assert reopened(shown) == {"env.backend": asked, "auto.taken": {}}
    assert reopened({"env.backend": "vector"}) == {"env.backend": "vector"}
