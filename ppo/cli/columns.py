"""Figures and columns of the terminal display: pure functions of a batch's record."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from ppo.core.metrics import METRICS, Column, Form, Metric

WIDTH = 100
Record = Mapping[str, Any]


def finite(value: Any) -> float | None:
    """A number, or None where there is none."""
    if value is None or isinstance(value, str) or not math.isfinite(value):
        return None
    return float(value)


def compact(value: float) -> str:
    """Four significant places at most: 15.4k, 1.0M, 214, 0.31."""
    size = abs(value)
    if size >= 1e15:
        return f"{value:.0e}"
    for limit, unit, letter in (
        (1e12, 1e12, "T"),
        (1e9, 1e9, "G"),
        (1e6, 1e6, "M"),
        (1e4, 1e3, "k"),
    ):
        if size >= limit:
            return f"{value / unit:.1f}{letter}"
    return number(value)


def rate(value: float) -> str:
    """Steps per second: 611k."""
    return f"{value / 1e3:.0f}k" if 1e4 <= value < 1e6 else compact(value)


def number(value: float) -> str:
    """A figure in at most eight characters."""
    size = abs(value)
    if size >= 1e6 or 0 < size < 1e-3:
        return f"{value:.1e}"
    if size >= 100 or value == int(value):
        return f"{value:.0f}"
    return f"{value:.1f}" if size >= 10 else f"{value:.2f}" if size >= 0.1 else f"{value:.4f}"


def duration(seconds: float) -> str:
    """1:05, 2:03:04, 5 d."""
    if seconds >= 100 * 3600:
        return f"{compact(seconds / 86_400)} d"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _kl(value: float) -> str:
    return f"{value:.4f}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:.1e}"


def _two_places(value: float) -> str:
    return f"{round(value, 2) + 0.0:.2f}" if abs(value) < 1000 else f"{value:.1e}"  # no -0.00


def _cut(value: float) -> str:
    return f"{value:.1f}x" if value < 10_000 else f"{value:.0e}x"


FORMS: dict[Form, Callable[[float], str]] = {
    "count": lambda value: f"{value:.0f}",
    "compact": compact,
    "places": _two_places,
    "kl": _kl,
    "percent": lambda value: f"{value:.0%}",
    "times": _cut,
    "rate": rate,
}
ETA = Column("eta", 8)


def _columns() -> list[tuple[Metric, Column]]:
    return [(metric, metric.column) for metric in METRICS if metric.column is not None]


def table_header() -> str:
    """The titles over the batch lines."""
    columns = [*(column for _, column in _columns()), ETA]
    return "".join(column.title.rjust(column.width) for column in columns)


def batch_line(record: Record, eta_s: float | None) -> tuple[str, bool]:
    """One batch in fixed columns, and whether a figure of it is outside its healthy range.

    A value that is missing or not finite is `-`; a total loss that is not finite is marked.
    """
    line, marked, any_marked = "", False, False
    for metric, column in _columns():
        value = finite(record.get(metric.name))
        text = "-" if value is None else FORMS[column.form](value)
        line += text.rjust(column.width - marked)  # the mark took one column
        marked = value is not None and not metric.is_healthy(value)
        if column.title == "value loss" and "total_loss" in record:
            marked = marked or finite(record["total_loss"]) is None
        line += "!" if marked else ""
        any_marked = any_marked or marked
    left = finite(eta_s)
    return line + ("-" if left is None else duration(left)).rjust(ETA.width - marked), any_marked


LOSSES = (
    "total {total_loss}, policy {policy_loss}, value {value_loss} x {value_loss_weight}, "
    "entropy {entropy} x {entropy_coefficient}, lr {learning_rate}, std {policy_std}"
)


def losses_line(record: Record) -> str:
    """What --verbose adds to a batch."""
    figures = {metric.name: figure(record, metric.name) for metric in METRICS}
    return "          losses: " + LOSSES.format_map(figures)


def figure(record: Record, name: str) -> str:
    """A field of a record, or `-`."""
    value = finite(record.get(name))
    return "-" if value is None else number(value)
