"""How much of the machine there is for this process."""

from __future__ import annotations

import os


def num_cores() -> int:
    """Cores that this process may use, which a container or `taskset` may limit."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
