"""Stops, tears or refuses any one file operation of a process: SQLite's way of testing a database.

In a forked child the functions of `os` that touch files are replaced by counting ones. At a chosen
number they kill the process (before, half way through or after the operation), or fail as a
full or broken disk does. The product has no hook for this.
"""

from __future__ import annotations

import builtins
import errno
import os
import signal
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ppo.core.errors import RunError, UserError

BY_PATH = ("open", "mkdir", "rmdir", "unlink", "remove", "replace", "rename", "link", "truncate")
BY_DESCRIPTOR = ("write", "pwrite", "fsync", "ftruncate", "posix_fallocate")
MAKES_ROOM_NEEDED = ("mkdir", "link", "rename", "replace", "write", "pwrite", "posix_fallocate")
REFUSALS = (errno.ENOSPC, errno.EIO, errno.EROFS, errno.EACCES)
CRASH = 70  # exit status of a child that left by an exception that is no RunError or UserError


@dataclass
class Operation:
    """One file operation below the watched folder; `path` of the file or descriptor it is on."""

    name: str
    path: str
    args: tuple[Any, ...]
    data: bytes = b""


@dataclass
class Shim:
    """Counts the operations below `root`; at number `at` it does `fault`.

    Faults: before, torn, after (killed); an errno name (that one operation fails), short (one
    write takes half of its bytes), full (from there on the disk is full). None: only count.
    """

    root: Path
    at: int = -1
    fault: str | None = None
    operations: list[Operation] = field(default_factory=list)
    _paths: dict[int, str] = field(default_factory=dict)
    _real: dict[str, Callable[..., Any]] = field(default_factory=dict)

    def __enter__(self) -> Shim:
        for name in filter(partial(hasattr, os), BY_PATH + BY_DESCRIPTOR):  # macOS lacks one
            self._real[name] = getattr(os, name)
            setattr(os, name, self._wrap(name))
        self._builtin_open, builtins.open = builtins.open, self._refuse_builtin_open  # type: ignore
        return self

    def __exit__(self, *_: object) -> None:
        for name, function in self._real.items():
            setattr(os, name, function)
        builtins.open = self._builtin_open  # type: ignore

    def _refuse_builtin_open(self, file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        inside = isinstance(file, str | os.PathLike) and self._is_watched(os.fspath(file))
        assert not (inside and set(mode) & set("wax+")), f"{file} written past ppo.runs.files"
        return self._builtin_open(file, mode, *args, **kwargs)

    def _is_watched(self, path: str) -> bool:
        return str(path).startswith(str(self.root))

    def _path_of(self, descriptor: int) -> str:
        if descriptor not in self._paths:  # opened before the shim came
            try:
                return os.readlink(f"/proc/self/fd/{descriptor}")
            except OSError:
                return ""
        return self._paths[descriptor]

    def _wrap(self, name: str) -> Callable[..., Any]:
        real = self._real[name]

        def operation(first: Any, *args: Any, **kwargs: Any) -> Any:
            path = self._path_of(first) if isinstance(first, int) else os.fspath(first)
            if not path or not self._is_watched(path):
                return real(first, *args, **kwargs)
            data = bytes(args[0]) if name in ("write", "pwrite") else b""
            self.operations.append(Operation(name, path, args, data))
            result = self._perform(name, real, first, *args, **kwargs)
            if name == "open":
                self._paths[result] = path
            return result

        return operation

    def _perform(self, name: str, real: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if name == "fsync":  # a kill does not need it, and it is slow
            real = _nothing
        number = len(self.operations) - 1
        if self.fault is None or number < self.at:
            return real(*args, **kwargs)
        if self.fault == "full":
            return self._on_full_disk(name, real, *args, **kwargs)
        if number > self.at:
            return real(*args, **kwargs)
        if self.fault == "before":
            _die()
        if self.fault in ("torn", "short"):
            try:
                result = self._half(name, real, *args, **kwargs)
            finally:
                if self.fault == "torn":
                    _die()
            return result
        if self.fault == "after":
            try:
                real(*args, **kwargs)
            finally:
                _die()
        raise OSError(getattr(errno, self.fault), os.strerror(getattr(errno, self.fault)))

    def _half(self, name: str, real: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if name in ("write", "pwrite"):
            half = args[1][: max(1, len(args[1]) // 2)]
            return real(args[0], half, *args[2:], **kwargs)
        return real(*args, **kwargs)

    def _on_full_disk(self, name: str, real: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if name == "pwrite" and len(self.operations) - 1 == self.at and len(args[1]) > 1:
            return self._half(name, real, *args, **kwargs)  # the last bytes that fit
        creates = name == "open" and len(args) > 1 and args[1] & os.O_CREAT
        if name in MAKES_ROOM_NEEDED or creates:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*args, **kwargs)


def _nothing(*_: Any) -> None:
    return None


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@dataclass
class Outcome:
    """How a child ended: its exit status (negative: signal) and what its error said."""

    status: int
    message: str


def in_child(work: Callable[[], object]) -> Outcome:
    """Run `work` in a forked child. Its errors become statuses 1 and 2, as the program has them."""
    report = tempfile.TemporaryFile()
    pid = os.fork()
    if pid == 0:
        status = CRASH
        try:
            work()
            status = 0
        except (UserError, RunError) as error:
            status = error.exit_status
            report.write(str(error).encode())
        except BaseException:
            report.write(traceback.format_exc().encode())
        finally:
            report.flush()
            os._exit(status)
    _, wait_status = os.waitpid(pid, 0)
    report.seek(0)
    with report:
        return Outcome(os.waitstatus_to_exitcode(wait_status), report.read().decode())


def run_with_fault(root: Path, work: Callable[[], object], at: int, fault: str) -> Outcome:
    """Run `work` in a child whose operation number `at` below `root` meets `fault`."""

    def guarded() -> None:
        with Shim(root, at, fault):
            work()

    return in_child(guarded)


def record_operations(root: Path, work: Callable[[], object]) -> list[Operation]:
    """The operations below `root` of a healthy run of `work`, in this process."""
    with Shim(root) as shim:
        work()
    return shim.operations
