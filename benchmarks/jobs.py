"""Runs of a benchmark, each in a process of its own; a file of JSON lines keeps them as they end.

What the file holds is not run again, so that an interrupted benchmark goes on, and several
processes can share one.
"""

from __future__ import annotations

import concurrent.futures
import json
import multiprocessing
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

Run = dict[str, Any]


def lines_of(path: Path) -> list[Run]:
    """The runs of a file; none where it does not exist."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def run_all(
    work: Callable[..., Run],
    jobs: Iterable[tuple[Any, ...]],
    key: Sequence[str],
    path: Path,
    workers: int,
) -> None:
    """Calls `work(*job)` for every job that `path` does not hold, and appends what it returns.

    Args:
        key: the fields of a run that are its job, in the order of `job`.
    """
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(
        workers, mp_context=context, max_tasks_per_child=1
    ) as pool:
        waiting: set[concurrent.futures.Future[Run]] = set()
        for job in jobs:
            if any(tuple(run[name] for name in key) == job for run in lines_of(path)):
                continue
            waiting.add(pool.submit(work, *job))
            if len(waiting) == workers:
                waiting = _append_one(waiting, path)
        while waiting:
            waiting = _append_one(waiting, path)


def _append_one(
    waiting: set[concurrent.futures.Future[Run]], path: Path
) -> set[concurrent.futures.Future[Run]]:
    """Waits for a run to end and writes its line; those that are left."""
    first = concurrent.futures.FIRST_COMPLETED
    done, left = concurrent.futures.wait(waiting, return_when=first)
    for future in done:
        run = future.result()
        with path.open("a") as file:
            file.write(json.dumps(run) + "\n")
        short = {name: value for name, value in run.items() if not isinstance(value, (dict, list))}
        print(json.dumps(short), flush=True)
    return left
