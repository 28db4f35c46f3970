"""What makes a comparison itself doubtful, a line each."""

from __future__ import annotations

import numpy as np

from ppo.insight.comparison.groups import RETURN, Group, differences

NEWEST = "the newest of "  # in the source of a log that was chosen among several


def doubts(groups: list[Group]) -> list[str]:
    """What makes the comparison itself doubtful."""
    found: list[str] = []

    def note(what: str, names: list[str]) -> None:
        if names:
            found.append(f"{what}: {_list(names)}")

    runs = [run for group in groups for run in group.runs]
    steps = {
        run.name: float(np.nanmax(run.log.get("env_steps"), initial=0.0))
        for run in runs
        if run.log.has("env_steps") or not run.batches  # of some libraries none are known
    }
    longest = max(steps.values(), default=0.0)
    short = [name for name, taken in steps.items() if taken < 0.98 * longest]
    if short:
        found.append(f"unequal budgets: {_list(short)} took fewer than {longest:,.0f} steps")
    sizes = [len(group.runs) for group in groups]
    if len(groups) > 1 and len(set(sizes)) > 1:
        found.append(f"unequal numbers of seeds: {', '.join(map(str, sizes))}")
    if len(groups) > 1 and min(sizes) < 3:
        found.append("fewer than 3 seeds in a group: differences are hardly ever more than chance")
    for group in groups:
        seeds = [run.seed for run in group.runs if run.seed is not None]
        if len(set(seeds)) < len(seeds):
            found.append(f"{group.label}: the same seed more than once, counted as if independent")
        if mixed := differences([run.settings for run in group.runs]):
            found.append(f"{group.label} pools runs that differ in {_list(list(mixed))}")
    for word in ("running", "interrupted", "killed", "failed"):
        note(word, [run.name for run in runs if run.status == word])
    empty = [run for run in runs if not run.batches]
    for ended, what in ((False, "no batch yet"), (True, "ended, and no batch can be read")):
        note(what, [run.name for run in empty if (run.status not in ("", "running")) == ended])
    silent = [run.name for run in runs if run.batches and RETURN not in run.figures]
    if len(silent) < len(runs):
        note("no return in the log, not in its figures", silent)
    tasks = sorted(set().union(*(group.tasks for group in groups)))
    if len(tasks) > 1:
        note("different environments, whose returns do not compare and are not judged", tasks)
    if len(runs) > 1:
        unknown = [run.name for run in runs if "env.id" not in run.settings]
        note("no environment in the log, returns compare only if it is the same", unknown)
    versions = {run.version for run in runs if run.version}
    if len(versions) > 1:
        found.append(f"made by different versions of the code: {', '.join(sorted(versions))}")
    if len(runs) > 1:
        foreign = [run.name for run in runs if run.writer != "ppo"]
        note("logs of other libraries, units may differ", foreign)
    found += [
        f"{run.name} was resumed with other settings: {part}" for run in runs for part in run.parts
    ]
    found += [f"{run.name}: read {run.log.source}" for run in runs if NEWEST in run.log.source]
    thinned = [run.name for run in runs if run.note]
    note("long runs, figures other than the return from a part of the batches", thinned)
    return found


def _list(names: list[str]) -> str:
    shown = ", ".join(names[:4])
    return shown if len(names) <= 4 else f"{shown} and {len(names) - 4} more"
