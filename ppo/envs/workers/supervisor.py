"""The trainer's side of one worker process: start, request, wait, replace.

A fresh interpreter is started in place of a fork, which would copy torch's threads half-way; and
in place of multiprocessing's spawn, which would run the user's script again.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import weakref
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import IO, Any

from ppo.core.errors import EnvironmentFault, UserError
from ppo.core.imports import search_path
from ppo.envs.workers.worker import DONE, LEFT_TO_TRAINER

_START = (
    "import json, sys; a = json.loads(sys.argv[1]); sys.path[:] = a.pop('path'); "
    "from ppo.envs.workers.worker import main; main(**a)"
)
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
CLOSE_SECONDS = 2.0
NOTHING: dict[str, Any] = {"answer": None, "told": ([], None, [])}


class WorkerDied(Exception):
    """The process is gone; with the manner of its end."""


class WorkerProcess:
    """A worker and the end of the pipe to it.

    Args:
        number: number of the worker, for messages.
        start, stop: rows of its environments.
        memory: file descriptor of the shared memory.
    """

    def __init__(self, number: int, start: int, stop: int, memory: int) -> None:
        self.number, self.start, self.stop = number, start, stop
        self._memory = memory
        self.launch()

    def launch(self) -> None:
        """Starts the process; does not wait for it."""
        self.connection, theirs = Pipe()
        arguments = {
            "path": search_path(),
            "pipe": theirs.fileno(),
            "memory": self._memory,
            "parent": os.getpid(),
            "tied": threading.current_thread() is threading.main_thread(),
        }
        # A worker inherits these as blocked, until its own handlers are set: a signal to all
        # processes of a job must not end one that is just starting.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, LEFT_TO_TRAINER)
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-c", _START, json.dumps(arguments)],
                stdin=subprocess.DEVNULL,
                stdout=2,  # what environments print must not end up in the trainer's own output
                pass_fds=(theirs.fileno(), self._memory),
                env={
                    **dict.fromkeys(_THREADS, "1"),
                    **os.environ,
                    "PYGAME_HIDE_SUPPORT_PROMPT": "1",
                },
                process_group=0,  # Ctrl-C in a terminal reaches the trainer alone
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
        self._finalizer = weakref.finalize(self, _end, self.process, self.connection)

    def send(self, do: str, **message: Any) -> None:
        """Asks for something; the answer is fetched by `receive`."""
        self.send_raw(json.dumps({"do": do, **message}).encode())

    def send_raw(self, request: bytes) -> None:
        """Sends bytes.

        Raises:
            WorkerDied: the process is gone.
        """
        try:
            self.connection.send_bytes(request)
        except OSError:
            raise WorkerDied(self.cause()) from None

    def receive(self) -> dict[str, Any]:
        """The answer that has come: {"answer", "told"}, the latter as `SlotGroup.take_told` has it.

        Raises:
            WorkerDied: in place of an answer.
            UserError, EnvironmentFault: as raised in the worker, its traceback as a note.
        """
        try:
            raw = self.connection.recv_bytes()
        except (EOFError, OSError):
            raise WorkerDied(self.cause()) from None
        if raw == DONE:
            return NOTHING
        answer = json.loads(raw)
        if "error" in answer:
            kind = UserError if answer["error"] == "mistake" else EnvironmentFault
            error = kind(answer["message"])
            error.add_note(f"In worker {self.number}:\n{answer['traceback']}")
            raise error
        return answer

    def cause(self) -> str:
        """How the process ended, in a few words."""
        try:
            code = self.process.wait(CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            return "it closed its connection"
        if code >= 0:
            return f"exit status {code}"
        name = signal.Signals(-code).name
        return f"{name}, out of memory?" if name == "SIGKILL" else name

    def kill(self) -> None:
        """Ends the process at once."""
        self._finalizer()

    def close(self) -> None:
        """Requests the process to exit; `kill` follows."""
        try:
            self.connection.send_bytes(json.dumps({"do": "close"}).encode())
        except OSError:
            pass  # it is gone already


def _end(process: subprocess.Popen, connection: Connection) -> None:
    with contextlib.suppress(OSError):  # none is left of the group
        os.killpg(process.pid, signal.SIGKILL)  # with what its environments have started
    process.kill()
    try:
        process.wait(CLOSE_SECONDS)
    except subprocess.TimeoutExpired:
        pass  # the kernel still has it; nothing waits for it
    connection.close()


def anonymous_memory() -> IO[bytes]:
    """Memory without a name: a killed trainer leaves nothing behind."""
    if hasattr(os, "memfd_create"):
        return open(os.memfd_create("ppo-environments"), "r+b")
    return tempfile.TemporaryFile()
