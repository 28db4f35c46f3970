"""What starts the jobs of an experiment, wherever they run."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

PATIENCE = 60.0  # seconds that a stopped trainer has to save, before it is killed
FORCE = 15.0  # seconds more until a cluster has killed it and says so
LOOK = 0.5  # seconds between two looks whether a command has ended
DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)
LOST = -1000  # in place of an exit status: the node died, or took the job away
RESTARTS = 3  # of a job whose node was lost


class Launcher(ABC):
    """Starts commands and reports how they ended."""

    @abstractmethod
    def capacity(self) -> int:
        """How many jobs may run at a time where the user gives no number."""

    @abstractmethod
    def start(self, command: list[str], output: Path) -> Any:
        """Starts a command whose stdout and stderr are appended to a file; returns its handle."""

    @abstractmethod
    def poll(self, handle: Any) -> int | None:
        """The exit status, LOST, or None while it runs."""

    @abstractmethod
    def stop(self, handle: Any) -> None:
        """Asks it to save and end."""

    @abstractmethod
    def wait(self, handle: Any) -> None:
        """Waits for a command that was signaled to end; ends it by force at last."""


def environment() -> dict[str, str]:
    """This package is found by the children also where it is not installed, and from anywhere."""
    root = str(Path(__file__).resolve().parents[4])
    given = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    paths = [root, *map(os.path.abspath, given)]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))}


def follow_parent() -> Callable[[], None] | None:
    """On Linux, SIGTERM to the child when the parent dies, even by SIGKILL: it saves and ends."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    parent = os.getpid()

    def follow() -> None:
        libc.prctl(DEATH_SIGNAL, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:  # it died before the call
            os._exit(143)

    return follow


def run_here(
    command: list[str], output: str, path: str, folder: str, copies: dict[str, str] | None = None
) -> int:
    """Runs a command on the node where this is called; a cancelled task signals it to save and end.

    Args:
        output: file for what it prints. path: PYTHONPATH.
        folder: working directory; that of the node is where `ray start` was called.
        copies: names, in this process's working directory, of what stands in for folders that
            are not on this node.
    """
    copies = copies or {}

    def found(place: str) -> str:
        missing = place in copies and not os.path.isdir(place)
        return os.path.abspath(copies[place]) if missing else place

    folder, path = found(folder), os.pathsep.join(map(found, path.split(os.pathsep)))
    if not os.path.exists(command[0]):
        command = [sys.executable, *command[1:]]
    with open(output, "ab") as file:
        if not os.path.isdir(folder):
            lacks = "is not there on this node, and its sources were too large to travel"
            file.write(os.fsencode(f"error: {folder}: {lacks}\n"))
            return 1
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": path},
            cwd=folder,
            preexec_fn=follow_parent(),
        )
        try:
            while child.poll() is None:
                time.sleep(LOOK)  # a cancelled task of Ray raises between calls, never inside one
            return int(child.returncode)
        except BaseException:
            child.terminate()
            end(child)
            raise


def end(child: subprocess.Popen[bytes]) -> None:
    """Waits for a process that was signaled to end; kills it once it has had its time."""
    try:
        child.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
