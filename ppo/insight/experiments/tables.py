"""What an experiment found: a live overview, the matrix, and the heat map of two settings."""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path

from ppo.core.figures import number
from ppo.core.screen import width
from ppo.insight.comparison.compare import Comparison, assemble
from ppo.insight.comparison.groups import RETURN, Group
from ppo.insight.comparison.page import escape, page, table
from ppo.insight.comparison.run import load_runs
from ppo.insight.comparison.statistics import iqm
from ppo.insight.comparison.tables import as_csv, fitting, headline, interval, lines_of
from ppo.insight.experiments.experiment import Experiment, Outcome
from ppo.insight.experiments.grid import Axis, Plan
from ppo.runs import files
from ppo.runs.metrics_file import last_record

ENDED = ("finished", "failed", "killed")
Groups = dict[tuple[str, ...], Group]  # by the settings that were planned, in their order
Cells = tuple[list[str], list[list[str]]]  # heads and rows
Heat = tuple[Axis, Axis, list[list[float]]]
STEADY = 30.0  # seconds between two lines of overview where the output is no terminal


class Overview:
    """One line that is redrawn on a terminal; elsewhere a line for each job that ends."""

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet
        self._terminal = sys.stderr.isatty()
        self._said: dict[int, str] = {}
        self._last = 0.0

    def __call__(self, outcomes: list[Outcome]) -> None:
        if self._quiet:
            return
        for outcome in outcomes:
            before = self._said.get(outcome.job.number)
            if outcome.status != before and outcome.status in ENDED:
                self._said[outcome.job.number] = outcome.status
                if before is None and not self._last:
                    continue  # done before this start
                error = f": {outcome.error}" if outcome.error else ""
                self._print(f"{outcome.status} {outcome.job.label}{error}")
        now = time.monotonic()
        if now - self._last >= (1.0 if self._terminal else STEADY):
            self._last = now
            self._print(overview_line(outcomes), stay=not self._terminal)

    def close(self) -> None:
        """What is printed next begins a line."""
        if self._terminal and self._last:
            self._print("", stay=False)

    def _print(self, text: str, stay: bool = True) -> None:
        clear = "\r\x1b[K" if self._terminal else ""
        text = text if stay else text[: width() - 1]  # of a line that wraps only the end is cleared
        print(clear + text, end="\n" if stay else "", file=sys.stderr, flush=True)


def overview_line(outcomes: list[Outcome]) -> str:
    """How many jobs stand where, and how far the running ones are."""
    counts = {name: sum(o.status == name for o in outcomes) for name in ("finished", "failed")}
    running = [o for o in outcomes if o.status == "running"]
    parts = [f"{counts['finished']} of {len(outcomes)} finished"]
    if counts["failed"]:
        parts.append(f"{counts['failed']} failed")
    parts += [f"{o.job.label}: {_progress(o)}" for o in running[:4]]
    return " | ".join(parts)


def _progress(outcome: Outcome) -> str:
    record = last_record(outcome.run) if outcome.run else None
    if record is None:
        return "starting"
    value = record.get("mean_episode_return")
    shown = number(float(value)) if isinstance(value, int | float) else "-"
    return f"batch {record.get('batch')}, return {shown}"


def report(experiment: Experiment) -> str:
    """Writes results.csv, matrix.md and report.html into the folder; returns what to print.

    Raises:
        RunError: they cannot be written.
    """
    outcomes, plan, folder = experiment.outcomes(), experiment.plan, experiment.folder
    lines = [
        f"not finished: {o.job.label} ({o.status}{': ' + o.error if o.error else ''})"
        for o in outcomes
        if o.status != "finished"
    ]
    begun = {o.run: o.job.settings for o in outcomes if o.run is not None and last_record(o.run)}
    if not begun:
        return "\n".join(["no run has a record", *lines])
    # One that failed before its first record is a seed of its settings all the same.
    planned = {
        o.run: o.job.settings for o in outcomes if o.run in begun or o.run and o.status == "failed"
    }
    # As planned: settings that change nothing that is learned, such as threads, are apart as well.
    comparison = assemble(load_runs(list(planned)), keys=list(planned.values()))
    groups = {planned[Path(group.runs[0].path)]: group for group in comparison.groups}
    cells, heat = _cells(plan, comparison, groups), _grid(plan, groups)
    title = f"{folder.name}: {', '.join(axis.key for axis in plan.axes)}"
    extra = heat_map(heat) + _matrix_html(cells)
    with files.reporting(folder, "write the results"):
        files.atomic_write(folder / "results.csv", as_csv(comparison).encode())
        files.atomic_write(folder / "matrix.md", (matrix(cells, heat) + "\n").encode())
        files.atomic_write(folder / "report.html", page(comparison, title, extra).encode())
    verdicts = [v.line() for v in comparison.verdicts if v.metric.name == RETURN]
    places = f"files: {files.from_here(folder)}/report.html, matrix.md, results.csv"
    return "\n".join([*_on_screen(len(plan.axes), cells, heat), *verdicts, *lines, places])


def _on_screen(axes: int, cells: Cells, heat: Heat | None) -> list[str]:
    """The matrix, and that of two settings, in as many tables as it takes to fit the terminal."""
    grid = [[", ".join(row[:axes]), *row[axes:]] for row in (cells[0], *cells[1])]
    tables = fitting("interquartile mean [95 % interval] of the last tenth", grid, width())
    if heat is not None:
        first, second, values = heat
        grid = [[f"{first.key} \\ {second.key}", *second.values]]
        for value, row in zip(first.values, values, strict=True):
            grid.append([value, *map(number, row)])
        tables += fitting("return (interquartile mean of the last tenth)", grid, width())
    return [line for table in tables for line in lines_of(table, width())]


def _cells(plan: Plan, comparison: Comparison, groups: Groups) -> Cells:
    columns = [*headline(), ("steps/s", "steps_per_second", "final")]
    heads = [axis.key for axis in plan.axes]
    heads += ["seeds", *(head for head, _, _ in columns), "against the first"]
    words = {
        id(v.group): v.short()
        for v in comparison.verdicts
        if v.metric.name == RETURN and v.figure == "final"
    }
    rows = []
    for settings, group in groups.items():
        values = [setting.partition("=")[2] for setting in settings]
        figures = [interval(group, metric, figure) for _, metric, figure in columns]
        rows.append([*values, str(len(group.runs)), *figures, words.get(id(group), "")])
    return heads, rows


def matrix(cells: Cells, heat: Heat | None) -> str:
    """One row a combination, as a Markdown table; interquartile means with 95 % intervals."""
    heads, rows = cells
    widths = [max(len(row[i]) for row in [heads, *rows]) for i in range(len(heads))]
    grid = [
        [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        for row in [heads, *rows]
    ]
    grid.insert(1, ["-" * width for width in widths])
    text = "\n".join("| " + " | ".join(row) + " |" for row in grid)
    if heat is None:
        return text
    first, second, values = heat
    lines = [f"| {first.key} \\ {second.key} | " + " | ".join(second.values) + " |"]
    lines.append("|-" * (len(second.values) + 1) + "|")
    for value, row in zip(first.values, values, strict=True):
        lines.append(f"| {value} | " + " | ".join(number(cell) for cell in row) + " |")
    return text + "\n\nreturn (interquartile mean of the last tenth):\n\n" + "\n".join(lines)


def _matrix_html(cells: Cells) -> str:
    heads, *rows = ([escape(cell) for cell in row] for row in (cells[0], *cells[1]))
    return "<h2>Matrix</h2>" + table(heads, rows, "matrix")


def _grid(plan: Plan, groups: Groups) -> Heat | None:
    """Returns over two settings of a full design; None for any other experiment."""
    if len(plan.axes) != 2 or plan.design != "full":
        return None
    one, two = plan.axes
    values = []
    for first in one.values:
        row = []
        for second in two.values:
            group = groups.get((f"{one.key}={first}", f"{two.key}={second}"))
            row.append(iqm(group.scores(RETURN)) if group else math.nan)
        values.append(row)
    return one, two, values


def heat_map(heat: Heat | None) -> str:
    """Two settings as a colored table: the darker, the higher the return."""
    if heat is None:
        return ""
    first, second, values = heat
    finite = [cell for row in values for cell in row if math.isfinite(cell)]
    if not finite:
        return ""
    low, high = min(finite), max(finite)
    span = (high - low) or 1.0
    body = ""
    for value, row in zip(first.values, values, strict=True):
        cells = ""
        for cell in row:
            strength = round(8 + 62 * (cell - low) / span) if math.isfinite(cell) else 0
            color = f"background:color-mix(in srgb,var(--c0) {strength}%,transparent)"
            cells += f'<td style="{color}">{number(cell)}</td>'
        body += f"<tr><th>{escape(value)}</th>{cells}</tr>"
    head = "".join(f"<th>{escape(value)}</th>" for value in second.values)
    corner = escape(f"{first.key} \\ {second.key}")
    return (
        "<h2>Return over both settings</h2><div class='wide'><table class='heat' id='heat'>"
        f"<thead><tr><th>{corner}</th>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )
