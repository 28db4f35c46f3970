"""A comparison as tables: in the terminal (rich) and as CSV."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ppo.core.figures import number
from ppo.core.metrics import METRICS, compared
from ppo.insight.comparison.compare import Comparison, Group
from ppo.insight.comparison.run import Figures

if TYPE_CHECKING:
    from rich.console import Console

FIGURES = ("first", "best", "last", "final", "auc")
HEADS = {"first": "first", "best": "best", "last": "last", "final": "last tenth", "auc": "area"}
DETAILED = 4  # groups up to which every metric's every figure is printed
WIDTH = 100  # columns where the output is no terminal


def interval(comparison: Comparison, group: Group, metric: str, figure: str) -> str:
    """Interquartile mean and its interval; the mean alone where there is one run."""
    mean, low, high = comparison.aggregate(group, metric, figure)
    if not math.isfinite(mean):
        return "-"
    return number(mean) if math.isnan(low) else f"{number(mean)} [{number(low)}, {number(high)}]"


def headline() -> list[tuple[str, str, str]]:
    """Head, metric and figure of each column that sums up a group: learning, not cost."""
    columns = [(m.label, m.name, "final") for m in METRICS if m.judged and m.group != "counters"]
    return [*columns[:1], ("area", columns[0][1], "auc"), *columns[1:]]


def print_tables(comparison: Comparison, console: Console | None = None) -> None:
    """Everything but the curves."""
    from rich.console import Console as RichConsole

    if console is None:
        console = RichConsole(highlight=False)
        if not console.is_terminal:
            console = RichConsole(highlight=False, width=WIDTH)
    for warning in comparison.warnings:
        console.print(f"note: {warning}", markup=False)
    if comparison.differing:
        console.print(_differences(comparison))
    console.print(_headline(comparison))
    if len(comparison.groups) <= DETAILED:
        for group in comparison.groups:
            console.print(_details(comparison, group))
    for verdict in comparison.verdicts:
        console.print(verdict.line(), markup=False)
    if len(comparison.groups) == 1 and comparison.runs:
        _print_findings(comparison, console)
    console.print(_stability(comparison))


def _table(title: str, *heads: str) -> Any:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for place, head in enumerate(heads):
        table.add_column(head, justify="left" if place == 0 else "right", overflow="fold")
    return table


def _text(value: Any) -> Any:
    """A cell whose brackets are no markup."""
    from rich.text import Text

    return Text(str(value))


def _differences(comparison: Comparison) -> Any:
    rows = [
        [key, *("-" if value is None else str(value) for value in values)]
        for key, values in comparison.differing.items()
    ]
    return _by_group("what differs", "setting", rows, comparison)


def _by_group(title: str, head: str, rows: list[list[str]], comparison: Comparison) -> Any:
    """A table with a column for each group; with many groups, a row for each."""
    heads = [_head(group) for group in comparison.groups]
    grid = [[head, *heads], *rows]
    if len(heads) > DETAILED:
        grid = [list(column) for column in zip(*grid, strict=True)]
    table = _table(title, *map(_text, grid[0]))
    for row in grid[1:]:
        table.add_row(*map(_text, row))
    return table


def _head(group: Group) -> str:
    more = len(group.runs) - 1
    return group.runs[0].name + (f" +{more}" if more else "")


def _headline(comparison: Comparison) -> Any:
    table = _table(
        "interquartile mean [95 % bootstrap interval] of the last tenth of each run; "
        f"threshold: return {number(comparison.threshold)}",
        "runs",
        "seeds",
        *(head for head, _, _ in headline()),
        "steps to threshold",
    )
    for group in comparison.groups:
        count, steps, _ = comparison.reach(group)
        reached = f"{number(steps)} ({count}/{len(group.runs)})" if count else "-"
        table.add_row(
            _text(_head(group)),
            str(len(group.runs)),
            *(_text(interval(comparison, group, name, figure)) for _, name, figure in headline()),
            _text(reached),
        )
    return table


def _details(comparison: Comparison, group: Group) -> Any:
    table = _table(group.label, "figure", *(HEADS[name] for name in FIGURES))
    for metric in compared():
        if group.scores(metric.name):
            cells = [comparison.aggregate(group, metric.name, figure)[0] for figure in FIGURES]
            table.add_row(metric.label, *(number(cell) for cell in cells))
    return table


def _stability(comparison: Comparison) -> Any:
    names = sorted({name for run in comparison.runs for name in run.stability})
    rows = [
        [name, *(number(stability_of(group, name)) for group in comparison.groups)]
        for name in names
    ]
    return _by_group("stability (median of the seeds)", "figure", rows, comparison)


def stability_of(group: Group, name: str) -> float:
    """Median of one figure of stability over the seeds."""
    values = sorted(run.stability[name] for run in group.runs if name in run.stability)
    values = [value for value in values if math.isfinite(value)]
    if not values:
        return float("nan")
    middle = len(values) // 2
    return values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2


def _print_findings(comparison: Comparison, console: Console) -> None:
    for run in comparison.runs:
        for finding in run.findings[:3]:
            console.print(
                f"{run.name}: {finding.illness} since batch {finding.since_batch}: "
                f"{finding.evidence}; try {finding.remedy}",
                markup=False,
            )


def write_csv(comparison: Comparison, file: Path) -> None:
    """One line per run and metric."""
    with file.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(["run", "group", "seed", "status", "batches", "metric", *FIGURES])
        for group in comparison.groups:
            for run in group.runs:
                for metric in compared():
                    figures = run.figures.get(metric.name, Figures())
                    cells = [getattr(figures, name) for name in FIGURES]
                    writer.writerow(
                        [run.name, group.label, run.seed, run.status, run.batches, metric.name]
                        + ["" if math.isnan(cell) else repr(cell) for cell in cells]
                    )
