"""Finds out which library wrote a log, and has it read under the contract's names."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

from ppo.insight.logs.columns import bridged, stretches
from ppo.insight.logs.log import MetricsLog, derive
from ppo.insight.logs.names import OF_EPISODES, OF_UPDATES, PREFIXES, by_name, tidy, without_prefix
from ppo.insight.logs.series import Series
from ppo.insight.logs.shapes import bare
from ppo.insight.logs.tables import STEP_NAMES
from ppo.insight.logs.writers import writers

AXES = {bare(name) for name in STEP_NAMES}
CHART = {"wall time", "value"}  # beside the step, which is the axis


def interpret(series: Series) -> MetricsLog:
    """The series under the contract's names, by whichever library wrote them."""
    series, read = _recognized(tidy(series))
    log = read(series)
    log.notes = series.notes + log.notes
    log.unknown_tags = sorted(
        tag
        for tag in set(series.points) - series.used
        if bare(tag) not in AXES and tag[:5] != "time/"
    )
    if not log.has("mean_episode_return") and log.has("evaluation_return"):
        log.columns["mean_episode_return"] = log.get("evaluation_return")
        log.notes.append("no return of training is logged: those of evaluations stand for it")
    _leave_gaps(log)
    for name in log.columns.keys() - {*OF_EPISODES, "evaluation_return"}:
        log.columns[name] = bridged(log.columns[name])
    _mark_infinite(log)
    if not _counts_steps(log):
        log.columns.pop("env_steps")
        log.notes.append("the axis counts rows, updates or millions, and no single steps")
    derive(log)
    return log


def _counts_steps(log: MetricsLog) -> bool:
    """Whether the axis can be that of an environment's steps, if there is one.

    Those are whole, more than one a row, and no fewer than those of an episode that ended.
    """
    steps = log.get("env_steps")
    known = steps[np.isfinite(steps)]
    if len(known) < 2:
        return True
    whole = bool((known == np.round(known)).all())
    longer = bool((log.get("mean_episode_length") > known[-1]).any())
    return whole and not longer and bool(np.median(np.diff(known)) > 1)


def _leave_gaps(log: MetricsLog) -> None:
    """A figure that was NaN and is a number again was not there: NaN in training stays.

    Nor was one that is NaN in its last row alone, beside losses that are numbers.
    """
    losses = [log.get(name) for name in OF_UPDATES if name in log.columns]
    sound = np.sum([np.isfinite(loss) for loss in losses], axis=0) > len(losses) / 2
    for name, marks in log.nonfinite.items():
        told = np.flatnonzero(marks | np.isfinite(log.get(name)))
        nan = marks[told] & np.isnan(log.get(name)[told])
        runs = stretches(nan)
        longest = max((b - a for a, b in runs[:-1]), default=0)
        for a, b in runs:
            alone = losses and b - a == 1 and bool(sound[told[a]])
            if b < len(nan) or b - a <= longest or alone:
                marks[told[a:b]] = False


def _recognized(series: Series) -> tuple[Series, Callable[[Series], MetricsLog]]:
    """The reader of the library that wrote the series, whose prefixes are taken off."""
    stripped: Series | None = series
    for _ in range(PREFIXES):
        if stripped is None:
            break
        for writer in writers():
            if writer.wrote(stripped):
                return stripped, writer.read
        stripped = without_prefix(stripped)
    return series, by_name


def _mark_infinite(log: MetricsLog) -> None:
    for name, column in log.columns.items():
        bad = np.isinf(column)
        if bad.any():
            log.nonfinite[name] = bad | log.nonfinite.get(name, False)
            log.columns[name] = np.where(bad, np.nan, column)


def downloads(tables: dict[str, Series]) -> Series | None:
    """Single charts as TensorBoard downloads them, a table for each tag, as the log of one run.

    None where they are none. The tables are named as their files.
    """
    if not tables or not all(set(map(str.lower, s.points)) >= CHART for s in tables.values()):
        return None
    runs: dict[str, dict[str, Series]] = {}
    for stem, series in tables.items():
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
