"""A comparison as tables: in the terminal (rich) and as CSV."""

from __future__ import annotations

import csv
import io
import math
import statistics
from typing import Any

from ppo.core.figures import number, written
from ppo.core.metrics import METRICS, compared
from ppo.core.screen import fold, width
from ppo.insight.comparison.compare import Comparison
from ppo.insight.comparison.groups import Group
from ppo.insight.comparison.run import Figures
from ppo.insight.comparison.statistics import iqm, iqm_interval

FIGURES = ("first", "best", "last", "final", "auc")
HEADS = {"first": "first", "best": "best", "last": "last", "final": "last tenth", "auc": "area"}
DETAILED = 4  # groups up to which every metric's every figure is printed
HEAD = 24  # characters up to which a group's label heads a column
GAP = 3  # columns between two figures


def interval(group: Group, metric: str, figure: str) -> str:
    """Interquartile mean and its interval; the mean alone where there is one run.

    Runs that lack the figure are counted behind it: (2 of 5) is of two runs out of five.
    """
    scores, runs = group.scores(metric, figure), len(group.runs)
    if not scores:
        return "-"
    text, (low, high) = number(iqm(scores)), iqm_interval(scores)
    if not math.isnan(low):
        text += f" [{number(low)}, {number(high)}]"
    return text if len(scores) == runs else f"{text} ({len(scores)} of {runs})"


def headline() -> list[tuple[str, str, str]]:
    """Head, metric and figure of each column that sums up a group: learning, not cost."""
    columns = [(m.label, m.name, "final") for m in METRICS if m.judged and m.group != "counters"]
    return [*columns[:1], ("area", columns[0][1], "auc"), *columns[1:]]


def print_tables(comparison: Comparison) -> None:
    """Everything but the curves."""
    from rich.console import Console

    class Screen(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError  # rich itself would end the program, with status 1

    console = Screen(highlight=False, width=width())

    def say(text: str) -> None:
        console.print(fold(text, console.width), markup=False)

    for warning in comparison.warnings:
        say(f"note: {warning}")
    heads = [_head(group) for group in comparison.groups]
    if comparison.differing:
        differing = by_group("setting", heads, differing_rows(comparison))
        for table in fitting("what differs", differing, console.width):
            console.print(table)
    result = by_group("runs", heads, _headline(comparison))
    title = "interquartile mean [95 % bootstrap interval] of the last tenth of each run; "
    for table in fitting(title + threshold_in_words(comparison), result, console.width):
        console.print(table)
    if len(comparison.groups) <= DETAILED:
        for group in comparison.groups:
            console.print(_details(group))
    for verdict in comparison.verdicts:
        say(verdict.line())
    if len(comparison.groups) == 1 and comparison.runs:
        for run, finding in comparison.findings():
            say(f"{run.name}: {finding.line}")
    stability = by_group("figure", heads, stability_rows(comparison))
    for table in fitting("stability (median of the seeds)", stability, console.width):
        console.print(table)


def _table(title: str, *heads: str) -> Any:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for place, head in enumerate(heads):
        table.add_column(head, justify="left" if place == 0 else "right", overflow="fold")
    return table


def lines_of(table: Any, columns: int) -> list[str]:
    """A table as plain lines."""
    from rich.console import Console

    console = Console(file=io.StringIO(), highlight=False, width=columns)
    with console.capture() as text:
        console.print(table)
    return [line.rstrip() for line in text.get().splitlines()]


def _text(value: Any) -> Any:
    """A cell whose brackets are no markup."""
    from rich.text import Text

    return Text(str(value))


def differing_rows(comparison: Comparison) -> list[list[str]]:
    """The settings that differ, with the value of each group."""
    return [
        [key, *("-" if value is None else written(value) for value in values)]
        for key, values in comparison.differing.items()
    ]


def stability_rows(comparison: Comparison) -> list[list[str]]:
    """How steady the runs were: a name, and the median over the seeds of each group."""
    names = sorted({name for run in comparison.runs for name in run.stability})
    return [
        [name, *(number(_stability_of(group, name)) for group in comparison.groups)]
        for name in names
    ]


def by_group(head: str, groups: list[str], rows: list[list[str]]) -> list[list[str]]:
    """A grid with a column for each group; with many groups, a row for each."""
    grid = [[head, *groups], *rows]
    return [list(c) for c in zip(*grid, strict=True)] if len(groups) > DETAILED else grid


def fitting(title: str, grid: list[list[str]], columns: int) -> list[Any]:
    """As many tables below each other as it takes for all columns of a grid to fit.

    Args:
        grid: rows of cells, the heads first; the first cell of a row is in every table.
    """
    wide = [max(len(row[i]) for row in grid) + GAP for i in range(len(grid[0]))]
    parts: list[list[int]] = [[]]
    for place in range(1, len(wide)):
        if parts[-1] and wide[0] + sum(wide[i] for i in [*parts[-1], place]) > columns:
            parts.append([])
        parts[-1].append(place)
    tables = []
    for part in parts:
        table = _table(title if part is parts[0] else "", *(_text(grid[0][i]) for i in [0, *part]))
        for row in grid[1:]:
            table.add_row(*(_text(row[i]) for i in [0, *part]))
        tables.append(table)
    return tables


def _head(group: Group) -> str:
    """What the verdicts call the group, where that fits above a column."""
    fits = len(group.runs) > 1 and len(group.label) <= max(HEAD, len(group.name))
    return group.label if fits else group.name


def _headline(comparison: Comparison) -> list[list[str]]:
    reached = []
    for group in comparison.groups:
        count, steps, _ = comparison.reach(group)
        reached.append(f"{number(steps)} ({count}/{len(group.runs)})" if count else "-")
    rows = [["seeds", *(str(len(group.runs)) for group in comparison.groups)]]
    for head, metric, figure in headline():
        rows.append([head, *(interval(g, metric, figure) for g in comparison.groups)])
    return [*rows, ["steps to threshold", *reached]]


def threshold_in_words(comparison: Comparison) -> str:
    """What the steps are counted to."""
    if math.isnan(comparison.threshold):
        return "no threshold, because the baseline's return did not rise"
    return f"threshold: return {number(comparison.threshold)}, nine tenths of the baseline's rise"


def _details(group: Group) -> Any:
    table = _table(group.label, "figure", *(HEADS[name] for name in FIGURES))
    for metric in compared():
        if group.scores(metric.name):
            table.add_row(metric.label, *means(group, metric.name))
    if group.scores("value_loss"):
        table.caption = f"value loss: unweighted, in {unit_of_value_loss(group)}"
        table.caption_justify = "left"
    return table


def means(group: Group, metric: str) -> list[str]:
    """The interquartile mean of each of FIGURES."""
    return [number(iqm(group.scores(metric, figure))) for figure in FIGURES]


def unit_of_value_loss(group: Group) -> str:
    """What the value loss of a group's runs is measured in."""
    run = group.runs[0]
    parts = len(run.log.components)
    return run.value_loss_unit + (f", summed over {parts} components" if parts > 1 else "")


def _stability_of(group: Group, name: str) -> float:
    return median([run.stability[name] for run in group.runs if name in run.stability])


def median(values: list[float]) -> float:
    """Of those that are numbers; NaN where none is."""
    finite = [value for value in values if math.isfinite(value)]
    return statistics.median(finite) if finite else math.nan


def as_csv(comparison: Comparison) -> str:
    """One line per run and metric."""
    out = io.StringIO()
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
    return out.getvalue()
