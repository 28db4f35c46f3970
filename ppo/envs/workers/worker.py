"""A worker process: some environments stepped on request, their rows in shared memory.

It is started as a fresh interpreter and imports no torch. Requests and answers are JSON, arrays of
each step lie in shared memory, errors travel as text. Only what makes the environments is
unpickled, as the trainer pickled it (ppo/envs/portable.py).
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import select
import signal
import sys
import threading
import traceback
from multiprocessing.connection import Connection
from typing import Any

from ppo.core.errors import EnvironmentFault, UserError
from ppo.envs.host.mujoco import make_group
from ppo.envs.host.rows import Shapes
from ppo.envs.host.slot import Probed, Task
from ppo.envs.host.slot_group import SlotGroup
from ppo.envs.observations import without_text
from ppo.envs.portable import from_text
from ppo.envs.spaces import describe

STEP = (b"0", b"1")  # the commonest request: a step, and the parity of its observations
DONE = b"k"  # the commonest answer
PR_SET_PDEATHSIG = 1
LEFT_TO_TRAINER = (signal.SIGINT, signal.SIGTERM)


def main(pipe: int, memory: int, parent: int, tied: bool) -> None:
    """Serves until the request to stop, or until the trainer is gone.

    Args:
        pipe: file descriptor of this end of the connection.
        memory: file descriptor of the memory that all workers share.
        parent: process id of the trainer.
        tied: die with the thread that started this process; right for a main thread only.
    """
    _end_with(parent, pipe, tied)
    connection = Connection(pipe)
    worker = Worker(memory)
    while True:
        try:
            request = connection.recv_bytes()
        except (EOFError, OSError):
            return
        try:
            answer = worker.serve(request)
        except (EnvironmentFault, UserError) as error:
            kind = "mistake" if isinstance(error, UserError) else "fault"
            answer = _failure(kind, str(error), error)
        except BaseException as error:
            answer = _failure("fault", f"an environment worker failed: {error!r}", error)
        if answer is None:
            return
        connection.send_bytes(answer)


def _failure(kind: str, message: str, error: BaseException) -> bytes:
    text = "".join(traceback.format_exception(error))
    return json.dumps({"error": kind, "message": message, "traceback": text}).encode()


def _end_with(parent: int, pipe: int, tied: bool) -> None:
    """Leaves signals to the trainer, and dies when it does, even inside an endless step."""
    for name in LEFT_TO_TRAINER:
        # A function and not SIG_IGN, which programs started by an environment would inherit.
        signal.signal(name, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, LEFT_TO_TRAINER)  # blocked since the start
    if tied and sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)  # it died before the request for a signal
    threading.Thread(target=_watch, args=(pipe,), daemon=True).start()


def _watch(pipe: int) -> None:
    """Where the kernel does not signal a parent's death, the closed end of the pipe does."""
    poll = select.poll()
    poll.register(pipe, select.POLLHUP)
    poll.poll()
    os._exit(1)


class Worker:
    """The state of a worker between requests."""

    group: SlotGroup  # from `make` on

    def __init__(self, memory: int) -> None:
        self._memory = memory

    def serve(self, request: bytes) -> bytes | None:
        """The answer to one request; None: it was the last."""
        if request in STEP:
            self.group.step(STEP.index(request))
            return self._done()
        message = json.loads(request)
        if message["do"] == "close":
            self.group.close()
            return None
        do = message.pop("do")
        own: dict[str, Any] = {"make": self._make, "attach": self._attach, "call": self._call}
        return self._done((own.get(do) or getattr(self.group, do))(**message))

    def _done(self, answer: Any = None) -> bytes:
        told = self.group.take_told()
        if answer is None and not any(told):
            return DONE
        return json.dumps({"answer": answer, "told": told}).encode()

    def _make(self, spec: str, task: list, first: int, stop: int) -> list[dict[str, Any]]:
        """Its spaces but for text, described."""
        self.group = make_group(from_text(spec), Task(*task), range(first, stop))
        env = self.group.slots[0].env
        return [describe(s) for s in (without_text(env.observation_space), env.action_space)]

    def _attach(self, shapes: list, probed: list, start: int, stop: int) -> None:
        whole = Shapes(*shapes)
        memory = mmap.mmap(self._memory, whole.num_bytes())
        self.group.attach(whole.rows(memory).part(start, stop), Probed(*probed))

    def _call(self, method: str, args: list[Any]) -> dict[str, Any]:
        """An error is an answer here: the other workers are heard before it is raised."""
        try:
            return {"gave": self.group.call(method, args)}
        except (EnvironmentFault, UserError) as error:
            return {"mistake": isinstance(error, UserError), "message": str(error)}
