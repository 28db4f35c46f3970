"""Figures and columns of the terminal display: pure functions of a batch's record."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping
from typing import Any

from ppo.core.figures import compact, duration, number
from ppo.core.metrics import METRICS, Column, Form, clean
from ppo.core.screen import WIDTH

Record = Mapping[str, Any]


def _number(value: float) -> str:
    text = number(value)
    return text if len(text) < 8 else compact(value)


def _kl(value: float) -> str:
    return f"{value:.4f}".replace("0.", ".", 1) if abs(value) < 1 else compact(value)


def _two_places(value: float) -> str:
    return f"{round(value, 2) + 0.0:.2f}" if abs(value) < 100 else compact(value)  # no -0.00


def _count(value: float) -> str:
    return f"{value:.0f}" if value < 1e6 else compact(value)


def _eta(value: float) -> str:
    """1:05, 2h04, 4 d: at most five characters."""
    if value < 3600:
        return duration(value)
    if value >= 100 * 3600:
        return f"{value / 86_400:.0f} d"
    minutes = int(value) // 60
    return f"{minutes // 60}h{minutes % 60:02}"


FORMS: dict[Form, Callable[[float], str]] = {
    "count": _count,
    "compact": compact,
    "number": _number,
    "places": _two_places,
    "kl": _kl,
    "percent": lambda value: f"{value:.0%}",
    "times": lambda value: f"{compact(value)}x",
}
ETA = Column("eta", 6, rank=1)


@functools.cache
def columns(width: int = WIDTH) -> tuple[tuple[str, Column], ...]:
    """Metric and column of each column that fits into `width`; those of rank 0 stand always."""
    known = [(metric.name, metric.column) for metric in METRICS if metric.column is not None]
    known.append(("eta", ETA))
    chosen: set[str] = set()
    left = width - 1  # a line as wide as the display makes some of them break it
    for name, column in sorted(known, key=lambda pair: pair[1].rank):
        if column.rank and column.width > left:
            break
        chosen.add(name)
        left -= column.width
    return tuple(pair for pair in known if pair[0] in chosen)


def table_header(width: int = WIDTH) -> str:
    """The titles over the batch lines."""
    return "".join(column.title.rjust(column.width) for _, column in columns(width))


def batch_line(
    record: Record, eta_s: float | None, marked: Collection[str] = (), width: int = WIDTH
) -> str:
    """One batch in fixed columns, with a mark behind the figures of the metrics in `marked`.

    A value that is missing or not finite is `-`.
    """
    line, mark = "", ""
    for name, column in columns(width):
        value = clean(eta_s if name == "eta" else record.get(name))
        form = _eta if name == "eta" else FORMS[column.form]
        text = "-" if value is None else form(value)
        line += text.rjust(column.width - len(mark))  # the mark took one column
        mark = "!" if name in marked else ""
        line += mark
    return line


LOSSES = (
    "total {total_loss}, policy {policy_loss}, value {value_loss} ({unit}) x {value_loss_weight}, "
    "entropy {entropy} x {entropy_coefficient}, lr {learning_rate}, std {policy_std}"
)


def losses_line(record: Record, unit: str) -> str:
    """What --verbose adds to a batch; `unit` is that of the value loss."""
    figures = {metric.name: figure(record, metric.name) for metric in METRICS}
    return "losses: " + LOSSES.format_map({**figures, "unit": unit})


def figure(record: Record, name: str) -> str:
    """A field of a record, or `-`."""
    return number(record.get(name))
