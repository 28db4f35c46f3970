"""Figures and columns of the terminal display: pure functions of a batch's record."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

WIDTH = 100
Record = Mapping[str, Any]

# Healthy ranges. Outside them a figure is marked; a single mark is no illness yet.
# Explained variance dips below 0 in single batches of healthy runs (openai/baselines #454).
LOWEST_EXPLAINED_VARIANCE = -0.1
# "Stays below 0.02" in Huang et al. 2022, The 37 Implementation Details of PPO; half as much again.
HIGHEST_KL = 0.03
# 0.05 to 0.3 in healthy runs (same source, and Andrychowicz et al. 2021 for epsilon 0.2).
HIGHEST_CLIP_FRACTION = 0.3
# In variances of the targets: 1 is a critic that predicts the mean, so 2 is worse than none.
HIGHEST_VALUE_LOSS = 2.0
# Gradients cut to a third still keep the mixture of losses; healthy runs show 0.2 to 3.
HIGHEST_GRADIENT_CUT = 3.0


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


@dataclass(frozen=True)
class Column:
    """One column of the batch table."""

    title: str
    width: int
    field: str
    form: Callable[[float], str]
    is_bad: Callable[[float], bool] = lambda value: False


COLUMNS = (
    Column("batch", 10, "batch", lambda v: f"{v:.0f}"),
    Column("steps", 9, "env_steps", compact),
    Column("return", 9, "mean_episode_return", compact),
    Column("success", 9, "success_rate", _two_places),
    Column("ev", 7, "explained_variance", _two_places, lambda v: v < LOWEST_EXPLAINED_VARIANCE),
    Column("kl", 8, "approx_kl", _kl, lambda v: v > HIGHEST_KL),
    Column("clip", 7, "clip_fraction", lambda v: f"{v:.0%}", lambda v: v > HIGHEST_CLIP_FRACTION),
    Column(
        "value loss", 13, "normalized_value_loss", _two_places, lambda v: v > HIGHEST_VALUE_LOSS
    ),
    Column("grad cut", 11, "grad_clip_factor", _cut, lambda v: v > HIGHEST_GRADIENT_CUT),
    Column("sps", 8, "steps_per_second", rate),
    Column("eta", 8, "eta", duration),
)


def table_header() -> str:
    """The titles over the batch lines."""
    return "".join(column.title.rjust(column.width) for column in COLUMNS)


def batch_line(record: Record, eta_s: float | None) -> tuple[str, bool]:
    """One batch in fixed columns, and whether a figure of it is outside its healthy range.

    A value that is missing or not finite is `-`; a total loss that is not finite is marked.
    """
    line, marked, any_marked = "", False, False
    for column in COLUMNS:
        value = finite(eta_s if column.field == "eta" else record.get(column.field))
        text = "-" if value is None else column.form(value)
        line += text.rjust(column.width - marked)  # the mark took one column
        marked = value is not None and column.is_bad(value)
        if column.title == "value loss" and "total_loss" in record:
            marked = marked or finite(record["total_loss"]) is None
        line += "!" if marked else ""
        any_marked = any_marked or marked
    return line, any_marked


def losses_line(record: Record) -> str:
    """What --verbose adds to a batch."""
    parts = [
        f"total {figure(record, 'total_loss')}",
        f"policy {figure(record, 'policy_loss')}",
        f"value {figure(record, 'value_loss')} x {figure(record, 'value_loss_weight')}",
        f"entropy {figure(record, 'entropy')} x {figure(record, 'entropy_coefficient')}",
        f"lr {figure(record, 'learning_rate')}",
        f"std {figure(record, 'policy_std')}",
    ]
    return "          losses: " + ", ".join(parts)


def figure(record: Record, name: str) -> str:
    """A field of a record, or `-`."""
    value = finite(record.get(name))
    return "-" if value is None else number(value)
