"""How much memory this process can have at most."""

from __future__ import annotations

import math
from pathlib import Path

import torch

MEMINFO, CGROUP = Path("/proc/meminfo"), Path("/proc/self/cgroup")
CGROUPS = Path("/sys/fs/cgroup")


def most_memory() -> float:
    """Bytes, of the machine with its swap or of the largest GPU; infinite where nobody knows.

    What a container may have counts in place of what its machine has (Linux, cgroup 2).
    """
    try:
        rows = (line.split() for line in MEMINFO.read_text().splitlines())
        sizes = {row[0]: 1024.0 * int(row[1]) for row in rows if len(row) > 2}
        host, swap = sizes["MemTotal:"], sizes.get("SwapTotal:", 0.0)
    except (OSError, ValueError, KeyError):
        return math.inf
    gpus = (torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count()))
    return max([min(host, _of_container()) + swap, *(float(gpu.total_memory) for gpu in gpus)])


def _of_container() -> float:
    """Bytes that the groups of this process may use; infinite where they have no limit."""
    least = math.inf
    try:
        path = CGROUP.read_text().strip().rpartition("::/")[2]
    except OSError:
        return least
    for group in (CGROUPS / path, *(CGROUPS / path).parents):
        if CGROUPS not in (group, *group.parents):
            break
        try:
            least = min(least, float((group / "memory.max").read_text()))
        except (OSError, ValueError):  # no limit: "max"
            continue
    return least
