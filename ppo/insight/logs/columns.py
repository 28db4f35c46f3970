"""What readers of all dialects do: rows, columns, and the spread that an entropy implies."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ppo.insight.logs.log import LEVELS, Column, MetricsLog
from ppo.insight.logs.series import Series

GAUSSIAN_ENTROPY = 0.5 * math.log(2 * math.pi * math.e)  # nats, one dimension of std 1
RAW = 10.0  # value loss at first, that standardized returns cannot give: they give about 1 (J)
MOST_BINS = 100  # into which a log of single episodes is cut
EPISODES = 5  # of a bin, at least
MOST_ACTIONS = 64  # more discrete actions than these are not guessed from an entropy
LOG_TOLERANCE = 0.01
UNIFORM_AT_FIRST = 0.85  # of log(n), where policies start, which the first batch lowers a little
GAP = 2  # cells that are missing one after the other, in a figure that is told each batch (J)
GAUSSIAN_TOLERANCE = 0.015  # narrower than the distance between log(4) and one Gaussian dimension


def start(series: Series, *tags: str) -> tuple[MetricsLog, Column]:
    steps = series.steps(*tags)
    log = MetricsLog(batches=np.arange(len(steps), dtype=np.int64))
    if not series.counted:
        log.columns["env_steps"] = steps
    return log, steps


def fill(log: MetricsLog, series: Series, steps: Column, names: dict[str, str]) -> None:
    """Copies tags into columns and remembers where the log itself said NaN."""
    for tag, name in names.items():
        if series.has(tag):
            column = series.at(tag, steps)
            log.columns[name] = column
            points = series.points[tag]
            bad_steps = points[~np.isfinite(points[:, 1]), 0]
            log.nonfinite[name] = np.isin(steps, bad_steps)


def begin(
    series: Series, writer: str, names: dict[str, str], rows: Sequence[str] | None = None
) -> tuple[MetricsLog, Column]:
    """A log with the columns of `names` (tag -> ours), and its steps.

    Args:
        rows: tags whose steps are the batches; all those of `names` where it is not given.
    """
    log, steps = start(
        series, *([tag for tag in names if series.has(tag)] if rows is None else rows)
    )
    log.writer = writer
    fill(log, series, steps, names)
    return log, steps


def task_level(log: MetricsLog, series: Series, steps: Column) -> None:
    """The level of a curriculum, where one is logged: the sum of all, penalties by their size."""
    tags = [tag for tag in series.points if re.search(LEVELS, tag)]
    for tag in tags:
        column = series.mean_between(tag, steps)[0]
        if np.isfinite(column).any():
            known = np.abs(as_last_written(column))
            log.columns["task_level"] = known + log.columns.get("task_level", np.zeros(len(steps)))


def as_last_written(column: Column) -> Column:
    """Gaps filled with the value before them."""
    rows = np.where(np.isfinite(column), np.arange(len(column)), -1)
    last = np.maximum.accumulate(rows) if len(rows) else rows
    return np.where(last >= 0, column[last], np.nan)


def stretches(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Where the marked stretches begin, and the rows behind their ends."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int64), [0]])))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def bridged(column: Column) -> Column:
    """Gaps of at most GAP rows filled with the value before them, so that windows span them."""
    rows = np.flatnonzero(np.isfinite(column))
    filled = column.copy()
    for a, b in zip(rows[:-1], rows[1:], strict=True):
        if 1 < b - a <= GAP + 1:
            filled[a + 1 : b] = column[a]
    return filled


def is_raw(value_loss: Column) -> bool:
    """Whether a value loss begins as the square of returns that are not standardized."""
    finite = value_loss[np.isfinite(value_loss)]
    return len(finite) > 0 and bool(np.median(finite[:3]) > RAW)


def plain(text: str) -> Any:
    if text in ("True", "False", "None"):
        return {"True": True, "False": False, "None": None}[text]
    try:
        return int(text) if re.fullmatch(r"-?\d+", text) else float(text)
    except ValueError:
        return text


def entropy_relative(log: MetricsLog, discrete: bool | None = None) -> None:
    """Entropy as a share of its maximum (discrete), or the deviation that it implies (Gaussian).

    A log does not say which; the first batches do, as policies start nearly uniform or with
    deviation 1. Where neither fits, nothing is derived.
    """
    if not log.has("entropy") or log.has("entropy_relative") or log.has("policy_std"):
        return
    entropy = log.get("entropy")
    first = float(entropy[np.isfinite(entropy)][0])
    highest = float(np.nanmax(entropy))
    dimensions = max(round(first / GAUSSIAN_ENTROPY), 1)
    near_gaussian = abs(first / (dimensions * GAUSSIAN_ENTROPY) - 1) < GAUSSIAN_TOLERANCE
    if discrete is not True and (near_gaussian or discrete is False):
        log.columns["policy_std"] = np.exp(entropy / dimensions - GAUSSIAN_ENTROPY)
        return
    if not 0 < highest < math.log(MOST_ACTIONS) or np.nanmin(entropy) < -LOG_TOLERANCE:
        return  # that of a choice is never negative
    actions = max(math.ceil(math.exp(highest) * (1 - LOG_TOLERANCE)), 2)
    if highest >= UNIFORM_AT_FIRST * math.log(actions):
        log.columns["entropy_relative"] = entropy / math.log(actions)
        log.notes.append(f"entropy's maximum is taken to be log({actions}), from the first batches")


def between(log: MetricsLog, series: Series, steps: Column, names: dict[str, str]) -> None:
    """Means of figures that are written more often than once a batch."""
    for tag, name in names.items():
        if series.has(tag):
            log.columns[name] = series.mean_between(tag, steps)[0]


def rows_apart(log: MetricsLog, counts: Column, per_update: float = 1.0) -> None:
    """How many updates a row stands for, of a column that counts them, or counts their steps."""
    finite = counts[np.isfinite(counts)]
    apart = float(np.median(np.diff(finite))) / per_update if len(finite) > 1 else np.nan
    if np.isfinite(apart) and apart > 0:
        log.per_row = apart


def root_error(log: MetricsLog, times: float = 1.0) -> None:
    """The root error, where there is a value loss.

    Args:
        times: the loss is a mean of (v - R)^2: 2, where it is half of that.
    """
    if "value_loss" in log.columns:
        log.columns["value_rmse"] = np.sqrt(times * np.abs(log.columns["value_loss"]))


def raw_error(log: MetricsLog) -> None:
    """The root error, of returns that are not normalized."""
    root_error(log)
    if "value_loss" in log.columns:
        log.settings["ppo.normalize_returns"] = False


def relative(log: MetricsLog, why: str) -> MetricsLog:
    """A root error that can be compared with itself only, and a note that says why."""
    root_error(log)
    entropy_relative(log)
    log.notes.append(why)
    return log
