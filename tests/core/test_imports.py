"""Where code of the user's is looked for."""

from __future__ import annotations

import sys
from pathlib import Path

from ppo.core.imports import search_here


def test_the_working_directory_is_looked_in_last_and_named_once(
    tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(sys, "path", ["elsewhere"])
    monkeypatch.chdir(tmp_path)
    search_here()
    search_here()
    assert sys.path == ["elsewhere", str(tmp_path)]


def test_a_working_directory_that_is_gone_is_not_looked_in(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(sys, "path", ["elsewhere"])
    monkeypatch.chdir(tmp_path)
    tmp_path.rmdir()
    search_here()
    assert sys.path == ["elsewhere"]
