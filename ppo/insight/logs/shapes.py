"""Tables that are not one row a batch of one run: brought into that shape."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from ppo.insight.logs.columns import as_last_written
from ppo.insight.logs.log import to_float
from ppo.insight.logs.names import meaning

Rows = list[dict[str, Any]]
NAMES = ("tag", "metric", "metricname", "key", "variable", "name")  # columns of names of figures
NEARLY = 0.9  # of the longest list, from which on another is one of the same rows
NEARER = 0.5  # times as near
FEWEST = 5  # rows of a run, on the average: a table in another order falls back more often


def bare(name: str) -> str:
    """A name without case, and without what is neither letter, digit nor folder."""
    return re.sub(r"[^a-z0-9/]", "", name.lower())


def pivoted(rows: Rows, axes: tuple[str, ...]) -> Rows:
    """Of a table with a row for each figure (its name, step and value): a row for each step."""
    lower = {bare(str(name)): name for name in (rows[0] if rows else {})}
    name = next((lower[word] for word in NAMES if word in lower), None)
    if name is None or "value" not in lower or to_float(rows[0][name]) == to_float(rows[0][name]):
        return rows
    axis = next((lower[bare(word)] for word in axes if bare(word) in lower), None)
    runs = [str(row.get(lower.get("run", ""))) for row in rows]
    longest = max(set(runs), key=runs.count)
    found: dict[Any, dict[str, Any]] = {}
    counts: dict[Any, int] = {}
    for row, run in zip(rows, runs, strict=True):
        tag, value = row.get(name), row.get(lower["value"])
        if run == longest and tag is not None and value is not None:
            counts[tag] = counts.get(tag, 0) + 1
            step = counts[tag] if axis is None else row.get(axis)
            found.setdefault(step, {"step": step})[str(tag)] = value
    return list(found.values())


def spread(lists: dict[str, list[Any]]) -> Rows:
    """Rows of lists: a shorter one, as of losses beside returns of episodes, over the same run."""
    length = max(map(len, lists.values()), default=0)
    rows: Rows = [{} for _ in range(length)]
    for name, values in lists.items():
        apart = length if NEARLY * length < len(values) else len(values)
        for i, value in enumerate(values):
            rows[(i + 1) * length // apart - 1][name] = value
    return rows


def last_run(rows: Rows, axis: str) -> tuple[Rows, str]:
    """The last of several runs in one table, whose steps begin anew, and a note about it.

    One that goes on where that before it ended is no run of its own: its steps are counted on.
    A table that falls back to a later step is one run, of which a part was done again.
    """
    told = np.array([to_float(row.get(axis)) for row in rows])
    known, steps = told[np.isfinite(told)], as_last_written(told)
    starts = [0, *(np.flatnonzero(np.diff(steps) < 0) + 1), len(rows)]
    parts = [rows[a:b] for a, b in zip(starts[:-1], starts[1:], strict=True)]
    anew = bool((steps[starts[1:-1]] <= steps[min(1, len(rows) - 1)]).all())
    anew &= len(np.unique(known)) < len(known)  # else the rows of one run in another order
    if len(parts) == 1 or not anew or len(parts) * FEWEST > len(rows):
        return rows, ""
    runs = [parts[0]]
    for part in parts[1:]:
        if _goes_on(runs[-1], part):
            before = np.nanmax([to_float(row.get(axis)) for row in runs[-1]])
            runs[-1] += [{**row, axis: before + to_float(row.get(axis))} for row in part]
        else:
            runs.append(part)
    longest = max(map(len, runs))
    chosen = next(run for run in reversed(runs) if 2 * len(run) >= longest)
    if len(runs) == 1:
        return chosen, f"the steps begin anew {len(parts) - 1} times, and are counted on"
    return chosen, f"{len(runs)} runs in one table; one of {len(chosen)} rows was read"


def _goes_on(before: Rows, after: Rows) -> bool:
    """Whether the returns begin far nearer to where those before ended than to where they began."""
    tag = next((name for name in before[0] if meaning(str(name)) == "mean_episode_return"), "")
    returns, then = ([to_float(row.get(tag)) for row in part] for part in (before, after))
    told = [value for value in returns if value == value]
    first = next((value for value in then if value == value), float("nan"))
    return bool(told) and abs(first - told[-1]) < NEARER * abs(first - told[0])
