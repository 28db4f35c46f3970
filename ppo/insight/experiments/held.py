"""One process at a time runs an experiment; the same command again waits for its end."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from ppo.core.errors import UserError
from ppo.runs import files


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Holds an experiment's folder, until the end or the death of this process.

    Raises:
        UserError: another process has it; two would start each job twice.
    """
    descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
            raise UserError(
                f"{files.shown(folder)} is being run by "
                f"{f'process {owner}' if owner.isdigit() else 'another process'}; wait for it, or "
                "start a new one with --fresh"
            ) from None
        except OSError:
            pass  # no locks on this file system
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)
