"""A process that works for another one ends with it, however that ends, and leaves nothing."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ppo.core.companion import Companion


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def is_gone(pid: int) -> bool:
    """Whether a process has ended, though perhaps nobody has asked how."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return True


def hanging(path: Path) -> Companion:
    """A companion that has started a process of its own, whose number is in the file."""
    made = Companion("companions:hang", {"path": str(path)})
    until(path.exists)
    return made


def test_it_makes_one_call_and_ends(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path, tmp_path])  # no text: Python passes over it
    path = tmp_path / "file"
    made = Companion("companions:write", {"path": str(path), "text": "done"})
    until(lambda: not made.works)
    made.close()
    assert path.read_text() == "done"


def test_a_fault_in_it_is_none_here() -> None:
    made = Companion("companions:fail", 1)
    until(lambda: not made.works)
    made.close()
    made.close()


def test_closing_it_ends_what_it_has_started(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    made = hanging(path)
    assert made.works and not is_gone(int(path.read_text()))
    made.close()
    assert not made.works
    until(lambda: is_gone(int(path.read_text())))


ENDS = {
    "killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "left": lambda: os._exit(0),
}


@pytest.mark.parametrize("how", ENDS)
def test_it_ends_with_the_process_that_it_works_for(how: str, tmp_path: Path) -> None:
    path, mine = tmp_path / "pid", tmp_path / "companion"
    pid = os.fork()
    if not pid:
        try:
            mine.write_text(str(hanging(path).pid))
            ENDS[how]()
        finally:
            os._exit(1)
    os.waitpid(pid, 0)
    for file in (mine, path):
        until(lambda: is_gone(int(file.read_text())))  # noqa: B023


def test_ctrl_c_does_not_reach_it(tmp_path: Path) -> None:
    made = hanging(tmp_path / "pid")
    assert os.getsid(made.pid) == made.pid != os.getsid(0)
    made.close()
