"""Processes that wait neither for the disk nor for git.

Only a loss of power needs a write to be on the disk, and `power_loss` counts what is asked of it.
The sources here do not change while tests run.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parents[2]


def begin() -> Callable[[], None]:
    """From now on in this process and those forked from it; call what it returns to end it."""
    from ppo.runs import provenance

    fsync, git_state = os.fsync, provenance.git_state
    kept = functools.cache(git_state)
    os.fsync = lambda fd: os.fstat(fd) and None  # a wrong descriptor fails as it did
    provenance.git_state = lambda at: (kept if Path(at).is_relative_to(HERE) else git_state)(at)

    def end() -> None:
        os.fsync, provenance.git_state = fsync, git_state

    return end
