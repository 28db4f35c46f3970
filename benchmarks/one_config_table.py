"""The table of one_config.py: a row a task and budget, and how often each judgment fell.

A cell is the interquartile mean over seeds with its interval. The judgment is that of
`--mode compare`: Welch's t-test over seeds at 5 %; equal: the interval of the difference lies
within a tenth of the peer's figure.
"""

from __future__ import annotations

import statistics

from jobs import Run

EQUAL = 0.1  # of the peer's figure


def judgment(ours: list[float], theirs: list[float]) -> str:
    """ahead, behind, equal, or that it cannot be told."""
    from ppo.functional.bootstrap import LEVEL
    from ppo.insight.comparison.statistics import difference

    gap = difference(ours, theirs)
    room = EQUAL * abs(statistics.fmean(theirs))
    if min(len(ours), len(theirs)) < 2:
        return "one seed"
    if -room <= gap.low and gap.high <= room:
        return "equal"
    if gap.p_value < LEVEL:
        return "ahead" if gap.mean > 0 else "behind"
    return "cannot tell"


def cell(values: list[float], runs: int) -> str:
    """Interquartile mean, its interval and how many seeds it is of: x2 of 3 where one has none."""
    from ppo.insight.comparison.statistics import iqm, iqm_interval

    count = f"x{len(values)}" + (f" of {runs}" if len(values) < runs else "")
    if not values:
        return count if runs else ""
    digits = 0 if max(map(abs, values)) >= 100 else 2
    low, high = iqm_interval(values)
    interval = f" [{low:.{digits}f}, {high:.{digits}f}]" if len(values) > 1 else ""
    return f"{iqm(values):,.{digits}f}{interval} {count}"


def table(runs: list[Run], published: dict[str, str], columns: list[str]) -> str:
    """A row a task and budget; then how often each judgment fell.

    Args:
        published: figures by task; tasks that are not among them have no row.
    """
    head = ["task", "steps", *columns, "published", "against default", "against zoo", "CPU s: ours"]
    rows = [[*head, "default", "zoo", "doctor"]]
    counts: dict[str, list[str]] = {"default": [], "zoo": []}
    order = list(published)
    for task, steps in sorted(
        {(r["task"], r["steps"]) for r in runs if r["task"] in published},
        key=lambda row: (order.index(row[0]), -row[1]),
    ):
        of = {
            c: [r for r in runs if (r["task"], r["steps"], r["column"]) == (task, steps, c)]
            for c in columns
        }
        figures = {  # a game of which no episode has ended has none
            column: [r["evaluation"] for r in found if r["evaluation"] is not None]
            for column, found in of.items()
        }
        words = []
        for peer in counts:
            both = figures["ours"] and figures[peer]
            words.append(judgment(figures["ours"], figures[peer]) if both else "")
            counts[peer] += [words[-1]] if both else []
        seconds = [
            f"{statistics.fmean(r['cpu_s'] for r in of[c]):.0f}" if of[c] else ""
            for c in ("ours", "default", "zoo")
        ]
        told = {": ".join([r["verdict"], *r["findings"]]) for r in of["ours"]}
        verdicts = ", ".join(sorted(told))
        successes = [r["success"] for r in of["ours"] if r.get("success") is not None]
        if successes:
            verdicts += f"; success {statistics.fmean(successes):.0%}"
        cells = [cell(values, len(of[column])) for column, values in figures.items()]
        rows.append([task, f"{steps:,}", *cells, published[task], *words, *seconds, verdicts])
    lines = [f"| {' | '.join(row)} |" for row in rows]
    lines.insert(1, "| " + " | ".join("---" for _ in rows[0]) + " |")
    lines += [
        "",
        "| against | ahead | equal | behind | cannot tell | one seed |",
        "|" + " --- |" * 6,
    ]
    for peer, found in counts.items():
        tally = [found.count(w) for w in ("ahead", "equal", "behind", "cannot tell", "one seed")]
        lines.append(f"| {peer} | {' | '.join(map(str, tally))} |")
    return "\n".join(lines) + "\n"
