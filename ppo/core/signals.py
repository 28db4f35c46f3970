"""Ctrl-C, SIGTERM and friends: handlers raise a flag, and the loop acts on it between steps.

Nothing is saved inside a handler: it may run in the middle of a backward pass or of a write.
SIGPIPE stays ignored: a reader that leaves (`| head`) must not end the training. Python then raises
BrokenPipeError where something is printed; `say` prints without it.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any, TextIO

from ppo.core.errors import Dropped

INTERRUPTED = 130  # exit status after Ctrl-C
TERMINATED = 143  # exit status after SIGTERM or SIGHUP
STOPS = {signal.SIGINT: INTERRUPTED, signal.SIGTERM: TERMINATED, signal.SIGHUP: TERMINATED}


class Grace:
    """How long a requested stop may wait for the work in progress.

    It is called between environment steps and between minibatches, where it costs nothing.

    Args:
        seconds: from the signal to the end.

    Attributes:
        deadline: monotonic time at which the grace ends; None while nobody asked to stop.
    """

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.deadline: float | None = None
        self._expected_end = float("inf")
        self._took: dict[str, float] = {}

    def start(self) -> None:
        """A stop is requested now."""
        self.deadline = time.monotonic() + self.seconds

    @contextlib.contextmanager
    def during(self, work: str) -> Iterator[None]:
        """Around work that is expected to take as long as it did the last time."""
        begun = time.monotonic()
        self._expected_end = begun + self._took.get(work, float("inf"))
        try:
            yield
            self._took[work] = time.monotonic() - begun
        finally:
            self._expected_end = float("inf")

    def __call__(self) -> None:
        """Goes on unless a requested stop cannot wait.

        Raises:
            Dropped: the work would end after the deadline, or nobody knows when.
        """
        if self.deadline is None:
            return
        if max(self._expected_end, time.monotonic()) > self.deadline:
            raise Dropped("stopped before the end of a batch")


class SignalGuard:
    """While entered, signals request a stop and do not kill; in other threads it does nothing.

    SIGINT, SIGTERM and SIGHUP ask to stop; the second one leaves at once (`leave_at_once`).
    SIGUSR1 asks for a checkpoint. What the process ignored before (SIGHUP under nohup, SIGINT in
    the background of a script) stays ignored.

    Attributes:
        stop_requested: the loop should save and end.
        exit_status: 130 or 143 once a stop is requested, else 0.
        grace: says whether what is being done may still be finished.
    """

    def __init__(self, grace_seconds: float = 0.0) -> None:
        self.grace = Grace(grace_seconds)
        self.stop_requested = False
        self.exit_status = 0
        self._save_requested = False
        self._previous: dict[int, Any] = {}
        self._pid = os.getpid()

    def take_save_request(self) -> bool:
        """Whether SIGUSR1 came since the last call."""
        requested, self._save_requested = self._save_requested, False
        return requested

    def __enter__(self) -> SignalGuard:
        if threading.current_thread() is not threading.main_thread():
            return self
        self._pid = os.getpid()
        for number in STOPS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._install(number, self._on_stop)
        self._install(signal.SIGUSR1, self._on_save)
        self._install(signal.SIGPIPE, signal.SIG_IGN)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            # None: a handler that was not set from Python cannot be put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._previous.clear()

    def _install(self, number: int, handler: Any) -> None:
        self._previous[number] = signal.signal(number, handler)

    def _on_save(self, *_: object) -> None:
        self._save_requested = True

    def _on_stop(self, number: int, _: object) -> None:
        status = STOPS[signal.Signals(number)]
        if os.getpid() != self._pid:  # a forked worker: Ctrl-C reaches it too, its parent decides
            if number != signal.SIGINT:
                os._exit(status)
            return
        if self.stop_requested:
            leave_at_once(status)
        self.stop(status)

    def stop(self, status: int) -> None:
        """Ask to stop, as a signal does."""
        self.stop_requested = True
        self.grace.start()
        self.exit_status = status


def leave_at_once(status: int) -> None:
    """End this process without any clean-up.

    Workers of environments and the compiler see their parent's death and end themselves; children
    that an environment started by `multiprocessing` are killed, as nothing else would end them.
    """
    with contextlib.suppress(Exception):
        for child in multiprocessing.active_children():
            child.kill()
    os._exit(status)


def say(text: str = "", file: TextIO | None = None) -> None:
    """Print a line; where nobody reads any more (`| head`, a closed terminal) go on in silence."""
    stream = sys.stdout if file is None else file
    try:
        print(text, file=stream, flush=True)
    except OSError:  # a broken pipe; or EIO, where the terminal is gone
        _silence(stream)
    except ValueError:  # the stream was closed
        pass


def _silence(stream: TextIO) -> None:
    """Point the stream to nowhere, or the interpreter fails at exit to flush what it holds."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
