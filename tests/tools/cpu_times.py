"""A plugin of pytest: processor seconds of each test and file, which a busy machine changes little.

    PYTHONPATH=tests/tools python -m pytest -p cpu_times tests/laws

In one process, without -n. Of a test's children those count that have ended and those that live.
"""

from __future__ import annotations

import collections
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

SHOWN = 20
TICKS = os.sysconf("SC_CLK_TCK")
SECONDS: dict[str, float] = {}


def now() -> float:
    """Processor seconds of this process and its children so far."""
    times, here = os.times(), str(os.getpid())
    total = times.user + times.system + times.children_user + times.children_system
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            stat = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if stat[1] == here:
            total += sum(map(int, stat[11:15])) / TICKS
    return total


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item: Any) -> Iterator[None]:
    begun = now()
    yield
    SECONDS[item.nodeid] = now() - begun


@pytest.hookimpl(hookwrapper=True)
def pytest_collection() -> Iterator[None]:
    begun = now()
    yield
    SECONDS["collection"] = now() - begun


def pytest_terminal_summary(terminalreporter: Any) -> None:
    files: collections.Counter[str] = collections.Counter()
    for name, seconds in SECONDS.items():
        files[name.split("::")[0]] += seconds
    for title, found in (("files", files), ("tests", collections.Counter(SECONDS))):
        terminalreporter.section(f"processor seconds of {title}, {found.total():.0f} in all")
        for name, seconds in found.most_common(SHOWN):
            terminalreporter.write_line(f"{seconds:8.1f} {name}")
