"""Run folders side by side: what differs, figures, and whether a difference is more than chance."""

from __future__ import annotations

import os
import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ppo.core.errors import UserError
from ppo.core.metrics import compared
from ppo.insight.comparison.doubts import doubts
from ppo.insight.comparison.groups import (
    RETURN,
    Group,
    differences,
    group_alike,
    group_by,
    group_runs,
    is_told,
    label,
    once,
    tell_apart,
)
from ppo.insight.comparison.run import Run, load_runs
from ppo.insight.comparison.statistics import iqm
from ppo.insight.comparison.verdicts import Verdict, judge
from ppo.insight.doctor import MOST
from ppo.insight.logs import runs_in
from ppo.insight.rules import Finding

RUNS_AT_MOST = 1000


@dataclass
class Comparison:
    """Everything that a table or a page shows."""

    groups: list[Group]
    differing: dict[str, list[Any]]  # setting -> value of each group
    verdicts: list[Verdict]
    warnings: list[str]
    threshold: float  # of the return, that `reach` counts the steps to

    @property
    def runs(self) -> list[Run]:
        return [run for group in self.groups for run in group.runs]

    @property
    def tasks(self) -> list[str]:
        """The environments, as far as the logs hold them."""
        return sorted(set().union(*(group.tasks for group in self.groups)))

    def findings(self) -> list[tuple[Run, Finding]]:
        """What the doctor found, up to three of each run."""
        return [(run, finding) for run in self.runs for finding in run.findings[:MOST]]

    def reach(self, group: Group) -> tuple[int, float, float]:
        """Runs that reach the threshold, and their median steps and seconds to it."""
        if not group.compares(self.groups[0]):
            return 0, float("nan"), float("nan")
        found = [hit for run in group.runs if (hit := _reached(run, self.threshold))]
        if not found:
            return 0, float("nan"), float("nan")
        steps, seconds = (float(np.median([hit[i] for hit in found])) for i in (0, 1))
        return len(found), steps, seconds


def compare(paths: Sequence[str | os.PathLike[str]], group: str | None = None) -> Comparison:
    """Compares runs, also such as are still going on; the first group is the baseline.

    A folder of run folders stands for all of them.

    Args:
        group: a regular expression; runs in whose name (or, failing that, path) it finds the same
            text, that of its first group in parentheses if it has one, are one group.

    Raises:
        UserError: no path, one that holds no log that can be read, or no regular expression.
    """
    if not paths:
        raise UserError("compare: give at least one run")
    found = [run for path in paths for run in runs_in(Path(path))]
    if len(found) > RUNS_AT_MOST:
        raise UserError(f"compare: {len(found)} runs; allowed: up to {RUNS_AT_MOST}")
    try:
        pattern = None if group is None else re.compile(group)
    except re.error as fault:
        raise UserError(f"--group {group}: no regular expression ({fault})") from None
    places: dict[str, Path] = {}
    for path in found:
        places.setdefault(os.path.realpath(path), path)
    return assemble(load_runs(list(places.values())), pattern)


def assemble(
    runs: list[Run], pattern: re.Pattern[str] | None = None, keys: Sequence[Hashable] | None = None
) -> Comparison:
    """The comparison of runs that have been loaded, grouped by their settings.

    Args:
        pattern: groups them by what it finds. keys: of each; equal ones are a group.
    """
    tell_apart(runs)
    if keys is not None:
        groups = group_alike(runs, keys)
    else:
        groups = group_runs(runs) if pattern is None else group_by(pattern, runs)
    repeats = [line for group in groups for line in once(group)]
    firsts = [group.runs[0] for group in groups]
    writers = [run.writer if is_told(run) else "" for run in firsts]
    differing = differences([run.settings for run in firsts], writers)
    for index, group in enumerate(groups):
        group.changes = {key: values[index] for key, values in differing.items()}
        group.label = group.label or label(group, groups)
    verdicts = [verdict for metric in compared() for verdict in judge(metric, groups)]
    threshold = _threshold(groups[0])
    return Comparison(groups, differing, verdicts, doubts(groups) + repeats, threshold)


def _threshold(baseline: Group) -> float:
    """Nine tenths of the way from the baseline's first to its final return; NaN if that fell."""
    first = baseline.scores(RETURN, "first")
    final = baseline.scores(RETURN, "final")
    if not first or not final:
        return float("nan")
    rise = iqm(final) - iqm(first)
    return iqm(first) + 0.9 * rise if rise > 0 else float("nan")


def _reached(run: Run, threshold: float) -> tuple[float, float] | None:
    rows = np.flatnonzero(run.whole.get(RETURN) >= threshold)
    if not len(rows):
        return None
    steps, seconds = run.whole.get("env_steps"), run.whole.get("wall_time_s")
    return float(steps[rows[0]]), float(seconds[rows[0]])
