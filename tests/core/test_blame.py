"""The line of a user's own code in which an exception began."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import gymnasium
import pytest
from gymnasium.envs.registration import EnvSpec

import ppo
from ppo.core.blame import cannot_unpack, described, is_of_users, is_raised_by_gymnasium, place_of

ROOT = Path(ppo.__file__).parents[1]
GYMNASIUM = Path(gymnasium.__file__).parent


def function_in(file: Path, body: str) -> Callable[[], None]:
    """A function that was read from this file, as a traceback has it."""
    found: dict[str, Callable[[], None]] = {}
    exec(compile(f"def step():\n    {body}\n", str(file), "exec"), found)
    return found["step"]


def raised_in(file: Path, body: str = "raise KeyError('goal')") -> Exception:
    with pytest.raises(Exception) as found:
        function_in(file, body)()
    return found.value


@pytest.mark.parametrize("name", ["envs.py", "ppo_envs.py", "ppo_train/envs.py"])
def test_a_file_beside_the_package_is_the_user_s(name: str, monkeypatch) -> None:
    monkeypatch.chdir(ROOT)
    assert place_of(raised_in(ROOT / name)) == f"{name}:2 in step"


def test_what_a_user_s_code_asks_of_a_library_is_the_user_s(tmp_path: Path) -> None:
    asked = raised_in(tmp_path / "nets.py", "import json; json.loads('{')")
    assert is_of_users(asked) and is_of_users(raised_in(tmp_path / "nets.py"))
    asked = raised_in(tmp_path / "nets.py", "from ppo import Config; Config.load('nowhere')")
    assert not is_of_users(asked) and not is_of_users(raised_in(ROOT / "ppo/envs/base.py"))


@pytest.mark.parametrize("file", [ROOT / "ppo/envs/base.py", GYMNASIUM / "core.py"])
def test_the_package_and_gymnasium_are_not(file: Path) -> None:
    error = raised_in(file)
    assert is_raised_by_gymnasium(error) and Path(__file__).name in place_of(error)


def test_a_package_whose_name_begins_as_gymnasium_s_unpacks_for_itself() -> None:
    body = "a, b = (1, 2, 3)"
    wrapper, other = GYMNASIUM / "core.py", GYMNASIUM.with_name("gymnasium_robotics") / "core.py"
    assert cannot_unpack(raised_in(wrapper, body)) and not cannot_unpack(raised_in(other, body))


class Broken(gymnasium.Env):
    def __init__(self) -> None:
        raise TypeError("no goal")


def test_the_line_is_that_of_the_environment_where_gymnasium_raises_its_error_again() -> None:
    spec = EnvSpec("Broken-v0", Broken)
    with pytest.raises(TypeError, match="no goal was raised from the environment creator") as found:
        gymnasium.make(spec)
    place = r"\([\w/]*test_blame.py:\d+ in __init__\)"
    assert re.fullmatch(f"TypeError: no goal {place}", described(found.value))
