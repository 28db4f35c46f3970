"""Figures and columns of the terminal display: pure functions of a batch's record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ppo.core.figures import compact, duration, number
from ppo.core.metrics import METRICS, Column, Form, Metric, clean

WIDTH = 100
Record = Mapping[str, Any]


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
        value = clean(record.get(metric.name))
        text = "-" if value is None else FORMS[column.form](value)
        line += text.rjust(column.width - marked)  # the mark took one column
        marked = value is not None and not metric.is_healthy(value)
        if column.title == "value loss" and "total_loss" in record:
            marked = marked or clean(record["total_loss"]) is None
        line += "!" if marked else ""
        any_marked = any_marked or marked
    left = clean(eta_s)
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
    return number(record.get(name))
