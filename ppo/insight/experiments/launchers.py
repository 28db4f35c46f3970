"""Where the jobs of an experiment run: processes of this machine, or tasks of a Ray cluster."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ppo.core.errors import UserError
from ppo.core.program import install

PATIENCE = 60.0  # seconds that a stopped trainer has to save, before it is killed
DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)


class Launcher(ABC):
    """Starts commands and reports how they ended."""

    @abstractmethod
    def start(self, command: list[str], output: Path) -> Any:
        """Starts a command whose stdout and stderr are appended to a file; returns its handle."""

    @abstractmethod
    def poll(self, handle: Any) -> int | None:
        """The exit status, or None while it runs."""

    @abstractmethod
    def stop(self, handle: Any) -> None:
        """Asks it to save and end."""

    @abstractmethod
    def wait(self, handle: Any) -> None:
        """Waits for a command that was signaled to end; ends it by force at last."""


class LocalLauncher(Launcher):
    """Processes of this machine, which are stopped when this process dies."""

    def start(self, command: list[str], output: Path) -> subprocess.Popen[bytes]:
        with output.open("ab") as file:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=environment(),
                preexec_fn=_follow_parent(),
                start_new_session=True,  # Ctrl-C reaches this process only, which passes it on
            )

    def poll(self, handle: subprocess.Popen[bytes]) -> int | None:
        return handle.poll()

    def stop(self, handle: subprocess.Popen[bytes]) -> None:
        if handle.poll() is None:
            handle.terminate()

    def wait(self, handle: subprocess.Popen[bytes]) -> None:
        try:
            handle.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            handle.kill()
            handle.wait()


def environment() -> dict[str, str]:
    """This package is found by the children also where it is not installed, and from anywhere."""
    root = str(Path(__file__).resolve().parents[3])
    given = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    paths = [root, *map(os.path.abspath, given)]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))}


def _follow_parent() -> Callable[[], None] | None:
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


class RayLauncher(Launcher):
    """Tasks of a running Ray cluster; all nodes share the results and the working directory."""

    def __init__(self, address: str = "auto", cpus: float = 1.0) -> None:
        try:
            import ray
        except ImportError:
            raise UserError(f'--launcher ray needs the extra "ray": {install("ray")}') from None
        self._ray = ray
        if not ray.is_initialized():
            try:
                ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
            except (ConnectionError, ValueError, RuntimeError) as error:
                raise UserError(
                    f"--launcher ray: no cluster at {address!r} ({str(error).splitlines()[0]}); "
                    "start one with: ray start --head"
                ) from None
        self._task = ray.remote(num_cpus=cpus, max_retries=0)(run_here)

    def start(self, command: list[str], output: Path) -> Any:
        path, here = environment()["PYTHONPATH"], os.getcwd()
        return self._task.remote(command, str(output.resolve()), path, here)

    def poll(self, handle: Any) -> int | None:
        done, _ = self._ray.wait([handle], timeout=0)
        if not done:
            return None
        try:
            return int(self._ray.get(handle))
        except self._ray.exceptions.RayError:  # the node or its worker died
            return 1

    def stop(self, handle: Any) -> None:
        self._ray.cancel(handle, force=False)

    def wait(self, handle: Any) -> None:
        self._ray.wait([handle], timeout=PATIENCE)


def run_here(command: list[str], output: str, path: str, folder: str) -> int:
    """Runs a command on the node where this is called; a cancelled task signals it to save and end.

    Args:
        output: file for what it prints. path: PYTHONPATH.
        folder: working directory; that of the node is where `ray start` was called.
    """
    with open(output, "ab") as file:
        if not os.path.isdir(folder):
            lacks = "is not there on this node; all nodes must share the working directory"
            file.write(os.fsencode(f"error: {folder}: {lacks}\n"))
            return 1
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": path},
            cwd=folder,
            preexec_fn=_follow_parent(),
        )
        try:
            return child.wait()
        except BaseException:
            child.terminate()
            child.wait(PATIENCE)
            raise
