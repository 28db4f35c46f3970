"""Compiled code is kept among the user's caches, unless the user or the machine wants otherwise."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ppo.core import compiling
from ppo.core.compiling import CACHE, keep_compiled_code


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(CACHE, "")  # so that it is put back
    monkeypatch.delenv(CACHE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))


def test_it_is_kept_among_the_users_caches(tmp_path: Path) -> None:
    keep_compiled_code()
    folder = tmp_path / "caches" / "ppo" / "compiled"
    assert os.environ[CACHE] == str(folder) and folder.is_dir()


def test_without_a_word_about_caches_it_is_in_the_home_folder(monkeypatch, tmp_path) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    keep_compiled_code()
    assert os.environ[CACHE] == str(tmp_path / ".cache" / "ppo" / "compiled")


def test_the_users_own_folder_stays(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv(CACHE, "mine")
    keep_compiled_code()
    assert os.environ[CACHE] == "mine" and not (tmp_path / "caches").exists()


def test_torch_has_its_own_where_nothing_can_be_written(monkeypatch, tmp_path) -> None:
    (tmp_path / "caches").write_text("a file")
    keep_compiled_code()
    assert CACHE not in os.environ
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(os, "access", lambda *_: False)
    keep_compiled_code()
    assert CACHE not in os.environ


@pytest.mark.parametrize("name", ["Jane Doe", "it's", "a;b", "$HOME", "(x)"])
def test_torch_has_its_own_where_a_command_line_would_split_the_name(
    name: str, monkeypatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / name))
    keep_compiled_code()
    assert CACHE not in os.environ and not (tmp_path / name).exists()


def test_a_function_that_is_compiled_keeps_its_code_there(monkeypatch, tmp_path) -> None:
    import torch

    compiling.compiled(abs, torch.device("cpu"))
    assert os.environ[CACHE].startswith(str(tmp_path))
