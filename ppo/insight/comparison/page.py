"""A comparison as one HTML page: opens from disk, loads nothing, readable on a phone.

`page.html` is the frame and `page.css` its style. Tables are written here; the curves are drawn as
SVG in the page by the script of `page.js`, so that they answer to the pointer. Every text that
comes from a run is escaped.
"""

from __future__ import annotations

import html
import json
from importlib import resources
from string import Template
from typing import Any

from ppo.core.figures import number
from ppo.core.metrics import compared
from ppo.insight.comparison.compare import Comparison
from ppo.insight.comparison.curves import data
from ppo.insight.comparison.groups import RETURN
from ppo.insight.comparison.tables import (
    FIGURES,
    HEADS,
    by_group,
    differing_rows,
    headline,
    interval,
    means,
    median,
    stability_rows,
    threshold_in_words,
    unit_of_value_loss,
)
from ppo.insight.comparison.verdicts import Verdict

LISTED = 60  # findings
NOTE = (
    "Thick: interquartile mean of the seeds with its 95 % interval, as far as all of them go; "
    "thin: single seeds; marks: findings of the doctor. Point at a curve to read it, press a name "
    "to hide it."
)


def page(comparison: Comparison, title: str = "", extra: str = "") -> str:
    """The page as text; `extra` is ready HTML that is put before the curves."""
    groups, tasks = len(comparison.groups), comparison.tasks
    title = title or f"{len(comparison.runs)} runs of {groups} settings" * (groups > 1)
    title = title or comparison.groups[0].label
    title += f": {', '.join(tasks)}" if 0 < len(tasks) < 4 else ""
    results = [section(comparison) for section in (_warnings, _differing, _headline, _verdicts)]
    return frame(
        title, [*results, extra], [*details(comparison), _findings(comparison)], data(comparison)
    )


def details(comparison: Comparison) -> list[str]:
    """The sections below the curves."""
    return [section(comparison) for section in (_stability, _figures, _cost)]


def frame(
    title: str,
    results: list[str],
    details: list[str],
    data: dict[str, Any],
    note: str = NOTE,
    single: bool = True,
) -> str:
    """A page of ready sections, those of `details` below the curves of `data`.

    Args:
        note: how the curves are to be read.
        single: whether the curves of single seeds can be hidden.
    """
    return Template(_asset("page.html")).substitute(
        title=escape(title),
        style=_asset("page.css"),
        results=_joined(results),
        note=escape(note),
        single="" if single else " hidden",
        details=_joined(details),
        data=_json(data),
        script=_asset("page.js"),
    )


def _joined(sections: list[str]) -> str:
    return "\n".join(section for section in sections if section)


def escape(value: Any) -> str:
    """A text that means the same in HTML."""
    return html.escape(str(value))


def _json(value: Any) -> str:
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    for sign in "<>&":  # not safe in a script; what is no ASCII is escaped already
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def table(heads: list[str], rows: list[list[str]], name: str = "", kind: str = "") -> str:
    """An HTML table of ready cells; the first cell of a row is its head.

    Args:
        kind: `left` for cells that stand at the left, `words` where they may wrap, too.
    """
    head = "".join(f"<th>{cell}</th>" for cell in heads)
    body = "".join(
        f"<tr><th>{row[0]}</th>" + "".join(f"<td>{cell}</td>" for cell in row[1:]) + "</tr>"
        for row in rows
    )
    label = f' id="{name}"' if name else ""
    label += f' class="{kind}"' if kind else ""
    return (
        f'<div class="wide"><table{label}><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _swatch(index: int) -> str:
    return f'<i class="swatch c{index % 8} d{index // 8 % 4}"></i>'


def _warnings(comparison: Comparison) -> str:
    if not comparison.warnings:
        return ""
    lines = "".join(f"<li>{escape(warning)}</li>" for warning in comparison.warnings)
    return f'<ul class="warn">{lines}</ul>'


def _differing(comparison: Comparison) -> str:
    if not comparison.differing:
        if len(comparison.groups) == 1:
            return ""
        return "<h2>What differs</h2><p>No setting that is known.</p>"
    rows = [
        [
            f"<code>{escape(key)}</code>",
            *(cell if cell == "-" else f"<code>{escape(cell)}</code>" for cell in cells),
        ]
        for key, *cells in differing_rows(comparison)
    ]
    return "<h2>What differs</h2>" + _by_group("setting", rows, comparison, "differing")


def _by_group(head: str, rows: list[list[str]], comparison: Comparison, name: str) -> str:
    groups = [f"{_swatch(i)}{escape(group.label)}" for i, group in enumerate(comparison.groups)]
    heads, *cells = by_group(head, groups, rows)
    return table(heads, cells, name)


def _headline(comparison: Comparison) -> str:
    heads = ["runs", "seeds", *(escape(head) for head, _, _ in headline())]
    heads += ["steps to threshold", "seconds"]
    rows = []
    for index, group in enumerate(comparison.groups):
        count, steps, seconds = comparison.reach(group)
        cells = [escape(interval(group, name, figure)) for _, name, figure in headline()]
        reached = f"{number(steps)} ({count} of {len(group.runs)})" if count else "-"
        name = _swatch(index) + escape(group.label)
        rows.append([name, str(len(group.runs)), *cells, reached, number(seconds)])
    note = (
        "Interquartile mean over seeds with 95 % bootstrap interval, of the last tenth "
        f"of each run; {threshold_in_words(comparison)} (from its first return to its last tenth)."
    )
    return f"<h2>Result</h2>{table(heads, rows, 'headline')}<p class='note'>{escape(note)}</p>"


def _verdicts(comparison: Comparison) -> str:
    if not comparison.verdicts:
        return ""

    def lines(chosen: list[Verdict]) -> str:
        items = (f'<li class="{v.word.split()[0]}">{escape(v.line())}</li>' for v in chosen)
        return f'<ul class="verdicts">{"".join(items)}</ul>'

    first = [v for v in comparison.verdicts if v.metric.name == RETURN]
    rest = [v for v in comparison.verdicts if v.metric.name != RETURN]
    note = "Welch's or the paired t-test at 5 %, corrected for the number of groups (Holm)."
    more = f"<details><summary>Other verdicts</summary>{lines(rest)}</details>" if rest else ""
    return f'<div id="verdicts">{lines(first)}{more}</div><p class="note">{escape(note)}</p>'


def _stability(comparison: Comparison) -> str:
    if not (rows := stability_rows(comparison)):
        return ""
    head = "figure" if len(comparison.runs) == 1 else "median of the seeds"
    return "<h2>Stability</h2>" + _by_group(head, rows, comparison, "stability")


def _figures(comparison: Comparison) -> str:
    rows = []
    for index, group in enumerate(comparison.groups):
        for metric in compared():
            if group.scores(metric.name):
                name = metric.label
                if metric.name == "value_loss":
                    name += f" (in {unit_of_value_loss(group)})"
                head = f"{_swatch(index)}{escape(group.label)}: {escape(name)}"
                rows.append([head, *means(group, metric.name)])
    head = "figure" if len(comparison.runs) == 1 else "interquartile mean of the seeds"
    heads = [head, *(HEADS[figure] for figure in FIGURES)]
    body = table(heads, rows, "figures")
    return f"<details><summary>All figures</summary>{body}{_runs_table(comparison)}</details>"


def _runs_table(comparison: Comparison) -> str:
    heads = ["run", "seed", "status", "batches", "return, last tenth", "best return", "note"]
    rows = []
    for index, group in enumerate(comparison.groups):
        for run in group.runs:
            figures = run.figures.get(RETURN)
            final, best = (number(figures.final), number(figures.best)) if figures else ("-", "-")
            cells = [_swatch(index) + escape(run.name), "-" if run.seed is None else str(run.seed)]
            cells += [escape(run.status or "-"), str(run.batches), final, best]
            rows.append([*cells, escape("; ".join(filter(None, (run.note, *run.parts))) or "-")])
    return table(heads, rows, "runs")


def _cost(comparison: Comparison) -> str:
    rows = []
    parts = sorted({name for run in comparison.runs for name in run.time})
    for index, group in enumerate(comparison.groups):
        times = [run.time for run in group.runs if run.time]  # a killed run has none
        spent = [median([time.get(part, 0.0) for time in times]) for part in parts]
        speed = interval(group, "steps_per_second", "final")
        rows.append([_swatch(index) + escape(group.label), escape(speed), *map(number, spent)])
    heads = ["runs", "steps per second", *(f"{escape(part)}, seconds" for part in parts)]
    return "<h2>Cost</h2>" + table(heads, rows, "cost")


def _findings(comparison: Comparison) -> str:
    items = [
        f"<li><b>{escape(run.name)}</b> {escape(finding.line)}</li>"
        for run, finding in comparison.findings()[:LISTED]
    ]
    if not items:
        return ""
    return f'<h2>Findings of the doctor</h2><ul id="findings">{"".join(items)}</ul>'


def _asset(name: str) -> str:
    """The text of a file that lies next to this module, also in an installed package."""
    return resources.files("ppo.insight.comparison").joinpath(name).read_text(encoding="utf-8")
