"""Another Python process that works for this one, and that ends when this one does.

It has a session of its own, so that Ctrl-C reaches this process alone, which then ends it together
with all that it has started. Its input is a pipe from this process: the kernel closes it however
this process ends, and the other one then ends itself.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
from typing import Any, BinaryIO

from ppo.core.imports import search_path

PROGRAM = """
import json, sys
sys.path[:] = json.loads(sys.stdin.buffer.readline())
from ppo.core.companion import serve
serve(sys.stdin.buffer)
"""


class Companion:
    """A process that calls a function once.

    Args:
        work: the function, as package.module:name. request: its argument, which can be pickled.

    Raises:
        Exception: the request cannot be pickled, or no process can be started.
    """

    def __init__(self, work: str, request: Any) -> None:
        data = pickle.dumps(request)
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        head = f"{json.dumps(search_path())}\n{json.dumps([work, len(data)])}\n"
        with contextlib.suppress(OSError):  # it has ended already
            assert self._process.stdin is not None
            self._process.stdin.write(head.encode() + data)
            self._process.stdin.flush()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def works(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def close(self) -> None:
        """Ends it, and what it has started; harmless when repeated."""
        if self.works:
            end_session(self.pid)
            self._process.kill()
        self._process.wait()
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()


def end_session(pid: int) -> None:
    """Ends a process that began a session, and the others in it, where there are sessions."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(OSError):
            os.killpg(pid, signal.SIGKILL)


def serve(source: BinaryIO) -> None:
    """What the process does: one call, which it breaks off when its input ends."""
    work, size = json.loads(source.readline())
    data = source.read(size)
    threading.Thread(target=_end_with, args=(source,), daemon=True).start()
    module, _, name = work.partition(":")
    getattr(importlib.import_module(module), name)(pickle.loads(data))
    os._exit(0)  # the other thread is waiting inside the buffer of the input


def _end_with(source: BinaryIO) -> None:
    source.read()
    end_session(os.getpid())
    os._exit(1)
