"""`auto` in a file of settings: what is open, what was chosen, and what takes it off the list."""

from __future__ import annotations

from pathlib import Path

import pytest

from ppo import Config
from ppo.config.automatic import as_asked, names
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


def test_a_setting_that_cannot_be_auto_refuses_it() -> None:
    with pytest.raises(UserError, match="ppo.gamma=auto: must be a number from 0 to 1$"):
        Config.load(None, ["ppo.gamma=auto"])


def test_a_run_is_compared_by_what_was_asked() -> None:
    found = as_asked(
        {"ppo.num_steps": 7, "ppo.gamma": 0.9, "auto.settings": [STEPS], "auto.steps": 3}
    )
    assert found == {"ppo.num_steps": "auto", "ppo.gamma": 0.9}
    assert as_asked({"ppo.num_steps": 7}) == {"ppo.num_steps": 7}
