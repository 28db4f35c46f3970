"""Single charts as TensorBoard downloads them: wall time, step and value, a table for each tag."""

from __future__ import annotations

import re

from ppo.insight.logs.series import Series
from ppo.insight.logs.writers import writers

HEAD = {"wall time", "value"}  # beside the step, which is the axis


def downloads(tables: dict[str, Series]) -> Series | None:
    """The charts of one run, by the names of their files, as one log; None where they are none."""
    runs: dict[str, dict[str, Series]] = {}
    for stem, series in tables.items():
        if not set(map(str.lower, series.points)) >= HEAD:
            return None
        run, _, tag = re.sub(r" ?\(\d+\)$", "", stem).rpartition("-tag-")
        runs.setdefault(run, {})[_tag(tag)] = series
    run = max(runs, key=lambda name: len(runs[name]))
    charts = runs[run]
    points = {
        tag: next(values for name, values in series.points.items() if name.lower() == "value")
        for tag, series in charts.items()
    }
    log = Series(points, counted=all(series.counted for series in charts.values()))
    if len(runs) > 1:
        log.notes.append(f"charts of {len(runs)} runs; {run} was read")
    return log


def _tag(written: str) -> str:
    """The tag that a file was named after, in which a slash became another sign; also the end of a
    name that was given by hand."""
    name = f"_{_plain(written)}"
    ends = [plain for plain in _tags() if name.endswith(f"_{plain}")]
    return _tags()[max(ends, key=len)] if ends else written


def _tags() -> dict[str, str]:
    known = {tag for writer in writers() for names in writer.names for tag in names}
    known |= {"charts/episodic_return", "charts/episodic_length", "train/n_updates"}
    known |= {"eval/mean_reward", "eval/mean_ep_length"}
    return {_plain(tag): tag for tag in known}


def _plain(tag: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "_", tag)
