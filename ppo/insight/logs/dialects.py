"""Finds out which library wrote a log, and has it read under the contract's names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ppo.insight.logs.log import MetricsLog, derive
from ppo.insight.logs.names import PREFIXES, by_name, tidy, without_prefix
from ppo.insight.logs.series import Series
from ppo.insight.logs.tables import STEP_NAMES
from ppo.insight.logs.writers import writers


def interpret(series: Series) -> MetricsLog:
    """The series under the contract's names, by whichever library wrote them."""
    series, read = _recognized(tidy(series))
    log = read(series)
    log.notes = series.notes + log.notes
    log.unknown_tags = sorted(
        tag
        for tag in set(series.points) - series.used
        if tag.lower() not in STEP_NAMES and tag[:5] != "time/"
    )
    log.nonfinite.update(_infinite(log))
    derive(log)
    return log


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


def _infinite(log: MetricsLog) -> dict[str, Any]:
    marks = {}
    for name, column in log.columns.items():
        bad = np.isinf(column)
        if bad.any():
            marks[name] = bad | log.nonfinite.get(name, np.zeros(len(log), dtype=bool))
            log.columns[name] = np.where(bad, np.nan, column)
    return marks
