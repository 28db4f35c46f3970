"""Which runs of a comparison are one group, and in what the groups differ."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ppo.core.figures import written
from ppo.insight.comparison.relevant import relevant
from ppo.insight.comparison.run import Run

RETURN = "mean_episode_return"
LABEL = 60  # characters up to which a group is called by what differs


@dataclass
class Group:
    """Runs that differ in their seed only."""

    label: str
    runs: list[Run]
    changes: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Its first run, and how many there are beside it."""
        more = len(self.runs) - 1
        return self.runs[0].name + (f" +{more}" if more else "")

    def scores(self, metric: str, figure: str = "final") -> list[float]:
        """One figure of every run that has it."""
        values = [
            getattr(run.figures[metric], figure) for run in self.runs if metric in run.figures
        ]
        return [value for value in values if np.isfinite(value)]

    @property
    def tasks(self) -> set[str]:
        """The environments of its runs, as far as their logs hold them."""
        return {str(run.settings["env.id"]) for run in self.runs if "env.id" in run.settings}

    def compares(self, other: Group) -> bool:
        """Whether the returns of both are of one environment, or may be."""
        return len(self.tasks | other.tasks) <= 1


def group_runs(runs: list[Run]) -> list[Group]:
    """Runs of the same settings together, in the order of the first of each.

    A log without settings stands alone: nobody knows whether it differs in its seed only.
    """
    keys = []
    for run in runs:
        known = relevant(run.settings) if is_told(run) else None
        key = f"path {run.path}"
        if known is not None:  # a run of two parts is none of its last settings alone
            key = repr((sorted(known.items(), key=str), run.parts))
        keys.append(key)
    return group_alike(runs, keys)


def group_alike(runs: list[Run], keys: Sequence[Hashable]) -> list[Group]:
    """Runs of equal keys together, in the order of the first of each."""
    groups: dict[Hashable, list[Run]] = {}
    for run, key in zip(runs, keys, strict=True):
        groups.setdefault(key, []).append(run)
    return [Group("", members) for members in groups.values()]


def once(group: Group) -> list[str]:
    """Drops runs that repeat another one of the group, which are no seeds of their own.

    A seed that was trained twice, or for one batch first, gives the same batches again.

    Returns:
        A line for each run that was dropped.
    """
    dropped = []
    for run in sorted(reversed(group.runs), key=lambda run: run.batches):
        longer = (r for r in group.runs if r is not run and r.batches >= run.batches)
        whole = next((other for other in longer if _repeats(run, other)), None)
        if whole is not None:
            group.runs.remove(run)
            many = run.batches > 1
            those = f"{run.batches} batches are those" if many else "1 batch is that"
            dropped.append(
                f"{run.name} is left out: its {those} of {whole.name}, which has the same seed"
            )
    return dropped


def _repeats(run: Run, longer: Run) -> bool:
    """Whether a run has the seed and, batch for batch, the returns of the beginning of another.

    In a group that a pattern made, runs of other settings repeat nothing: two that have not moved
    may give the same returns.
    """
    if run.seed is None or run.seed != longer.seed:
        return False
    if relevant(run.settings) != relevant(longer.settings):
        return False
    ours = run.whole.get(RETURN)
    known = len(ours) == run.batches and bool(np.isfinite(ours).any())
    return known and np.array_equal(ours, longer.whole.get(RETURN)[: len(ours)], equal_nan=True)


def is_told(run: Run) -> bool:
    """Whether the log holds all settings: ours do, and CleanRL's with its text summary."""
    return (
        run.writer == "ppo"
        and bool(run.settings)
        or (run.writer == "cleanrl" and run.seed is not None)
    )


def group_by(pattern: re.Pattern[str], runs: list[Run]) -> list[Group]:
    """Runs by what the pattern finds in them; those without a match stand alone."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        hit = pattern.search(run.name) or pattern.search(run.path)
        found = (hit[1] if pattern.groups else hit[0]) if hit else None
        groups.setdefault(run.path if found is None else f"match {found}", []).append(run)
    named = {key: key.removeprefix("match ") for key in groups if key.startswith("match ")}
    return [Group(named.get(key, ""), members) for key, members in groups.items()]


def differences(
    settings: list[dict[str, Any]], writers: Sequence[str] = ()
) -> dict[str, list[Any]]:
    """The relevant settings that are not the same everywhere, with each one's values.

    Args:
        writers: of each, whose settings are all there; empty where some may be missing. A setting
            that is missing is different only from what the same writer has.
    """
    those = [relevant(one) for one in settings]
    writers = writers or ["ppo" if one else "" for one in settings]
    keys = sorted({key for one in those for key in one})

    def differs(key: str) -> bool:
        known = [one[key] for one in those if key in one]
        having = {w for one, w in zip(those, writers, strict=True) if w and key in one}
        lacking = {w for one, w in zip(those, writers, strict=True) if w and key not in one}
        return any(value != known[0] for value in known) or bool(having & lacking)

    return {key: [one.get(key) for one in settings] for key in keys if differs(key)}


def label(group: Group, groups: list[Group]) -> str:
    """What a group is called: by what differs, or by its first run."""
    known = {key: value for key, value in group.changes.items() if key in group.runs[0].settings}
    ends = Counter(key.split(".")[-1] for key in known)
    short = {key: end if ends[end := key.split(".")[-1]] == 1 else key for key in known}
    changed = ", ".join(f"{short[key]}={written(value)}" for key, value in known.items())
    if len(groups) == 1 or not changed or len(changed) > LABEL:
        return group.name
    alone = sum(other.changes == group.changes for other in groups) == 1
    return changed if len(group.runs) > 1 and alone else f"{group.name} ({changed})"


def tell_apart(runs: list[Run]) -> None:
    """Runs of the same name from different places get as many folders in front as it takes."""
    places = {id(run): Path(run.path).resolve().parts for run in runs}
    counts = Counter(run.name for run in runs)
    alike = [run for run in runs if counts[run.name] > 1]
    deepest = max((len(places[id(run)]) for run in alike), default=0)
    for depth in range(2, deepest + 1):
        for run in alike:
            run.name = "/".join(places[id(run)][-depth:])
        counts = Counter(run.name for run in runs)
        alike = [run for run in alike if counts[run.name] > 1]
