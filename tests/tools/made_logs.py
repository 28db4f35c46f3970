"""Logs of any writer from constants and curves, and what the doctor names first of one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ppo.insight.doctor import diagnose
from ppo.insight.logs import MetricsLog
from ppo.insight.verdict import status

SHAPE = Callable[[np.ndarray], np.ndarray]


def foreign(rows: int = 80, writer: str = "cleanrl", **columns: object) -> MetricsLog:
    """A log whose columns are constants or functions of the share of the run that is done."""
    done = np.linspace(0, 1, rows)
    log = MetricsLog(batches=np.arange(rows), writer=writer)
    log.columns["env_steps"] = 1000.0 * (1 + np.arange(rows))
    for name, value in columns.items():
        log.columns[name] = value(done) if callable(value) else np.full(rows, float(value))
    return log


def noisy(curve: SHAPE, size: float = 1.0) -> SHAPE:
    return lambda done: curve(done) + size * np.random.default_rng(0).normal(size=len(done))


def through(*points: tuple[float, float]) -> SHAPE:
    """A line through points (share of the run, value)."""
    return lambda done: np.interp(done, *zip(*points, strict=True))


def first(log: MetricsLog) -> str:
    """The illness named first, or the status."""
    findings = diagnose(log)
    return findings[0].illness if findings else status(log, findings)
