"""Run folders side by side: what differs, figures, and whether a difference is more than chance."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ppo.core.errors import UserError
from ppo.core.figures import number, signed
from ppo.core.metrics import Metric, compared
from ppo.insight.comparison.run import Run, load_runs
from ppo.insight.comparison.statistics import (
    LEVEL,
    Difference,
    difference,
    holm,
    improvement_interval,
    iqm,
    iqm_interval,
    probability_of_improvement,
)
from ppo.insight.logs import MetricsLog

RUNS_AT_MOST = 1000
RETURN = "mean_episode_return"
CHANCE, ONE_SEED = "chance", "one seed"  # what a verdict may be beside better and worse

# Settings that do not change what is learned; runs that differ in nothing else are one group.
IRRELEVANT = {
    "system.seed",
    "system.threads",
    "system.device",
    "system.compile",
    "train.checkpoint_interval",
    "train.keep_checkpoints",
    "train.grace_seconds",
    "train.mirror",
    "env.workers",
    "env.step_timeout",
    "env.reset_timeout",
}
LABEL = 60  # characters up to which a group is called by what differs
IRRELEVANT_SECTIONS = ("logging.", "evaluation.")
# Values that give the data of another one; `torch` and a foreign vectorized form need not.
SAME_DATA = {("env.backend", "async"): "sync"}
CLEANRL_IRRELEVANT = (
    "capture_video cuda hf_entity save_model torch_deterministic track upload_model "
    "wandb_entity wandb_project_name"
).split()
IRRELEVANT |= {f"cleanrl.{name}" for name in CLEANRL_IRRELEVANT}


@dataclass
class Group:
    """Runs that differ in their seed only."""

    label: str
    runs: list[Run]
    changes: dict[str, Any] = field(default_factory=dict)

    def scores(self, metric: str, figure: str = "final") -> list[float]:
        """One figure of every run that has it."""
        values = [
            getattr(run.figures[metric], figure) for run in self.runs if metric in run.figures
        ]
        return [value for value in values if np.isfinite(value)]


@dataclass
class Verdict:
    """One metric of one group against the baseline."""

    metric: Metric
    figure: str
    group: Group
    baseline: Group
    difference: Difference
    p_value: float  # corrected for the number of groups
    improvement: float
    improvement_interval: tuple[float, float]
    word: str  # better, worse, higher, lower; CHANCE, or ONE_SEED where that cannot be asked
    noise: float = float("nan")  # of the batches of the last tenth: their standard deviation

    def line(self) -> str:
        """The verdict in words."""
        gap, ours, theirs = self.difference, self.group.label, self.baseline.label
        head = f"{self.metric.label} ({_FIGURE_WORDS[self.figure]}):"
        if self.word == ONE_SEED:
            return (
                f"{head} nothing can be told of {ours} and {theirs} with one seed a group: they "
                f"differ by {signed(gap.mean)}, and the batches of that tenth by "
                f"{number(self.noise)} (standard deviation)"
            )
        if self.word == CHANCE:
            if gap.mean == 0:
                return f"{head} {ours} is the same as {theirs}"
            found = f"{head} {ours} and {theirs} do not differ by more than chance"
            found += f" ({signed(gap.mean)}, p {self.p_value:.2g})"
            if gap.more_seeds is None:
                return found
            plural = "s" * (gap.more_seeds != 1)
            return f"{found}; to show this needs about {gap.more_seeds} more seed{plural} a group"
        interval = f"[{signed(gap.low)}, {signed(gap.high)}]"
        chance = f"P(improvement) {self.improvement:.2f}, p {self.p_value:.2g}"
        pairing = ", paired by seed" if gap.paired else ""
        return (
            f"{head} {ours} is {self.word} than {theirs} by {signed(gap.mean)} {interval}, "
            f"{chance}{pairing}"
        )

    def short(self) -> str:
        """The verdict in a cell of a table."""
        gap = signed(self.difference.mean)
        if self.word == ONE_SEED:
            return f"{gap}, one seed"
        word = "no more than chance" if self.word == CHANCE else self.word
        return f"{word} ({gap}, p {self.p_value:.2g})"


_FIGURE_WORDS = {"final": "last tenth", "auc": "area under the curve"}


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

    def aggregate(self, group: Group, metric: str, figure: str) -> tuple[float, float, float]:
        """Interquartile mean of a group's figure, with its 95 % bootstrap interval."""
        scores = group.scores(metric, figure)
        return (iqm(scores), *iqm_interval(scores)) if scores else (float("nan"),) * 3

    def reach(self, group: Group) -> tuple[int, float, float]:
        """Runs that reach the threshold, and their median steps and seconds to it."""
        found = [hit for run in group.runs if (hit := _reached(run.log, self.threshold))]
        if not found:
            return 0, float("nan"), float("nan")
        steps, seconds = (float(np.median([hit[i] for hit in found])) for i in (0, 1))
        return len(found), steps, seconds


def compare(paths: Sequence[str | os.PathLike[str]], group: str | None = None) -> Comparison:
    """Compares runs, also such as are still going on; the first group is the baseline.

    Args:
        group: a regular expression; runs in whose name (or, failing that, path) it finds the same
            text, that of its first group in parentheses if it has one, are one group.

    Raises:
        UserError: no path, one that holds no log that can be read, or no regular expression.
    """
    if not paths:
        raise UserError("compare: give at least one run")
    if len(paths) > RUNS_AT_MOST:
        raise UserError(f"compare: {len(paths)} runs; allowed: up to {RUNS_AT_MOST}")
    try:
        pattern = None if group is None else re.compile(group)
    except re.error as fault:
        raise UserError(f"--group {group}: no regular expression ({fault})") from None
    return assemble(load_runs([Path(path) for path in dict.fromkeys(paths)]), pattern)


def assemble(runs: list[Run], pattern: re.Pattern[str] | None = None) -> Comparison:
    """The comparison of runs that have been loaded, grouped by a pattern or by their settings."""
    _tell_apart(runs)
    groups = group_runs(runs) if pattern is None else _group_by(pattern, runs)
    differing = differences([group.runs[0].settings for group in groups])
    for index, group in enumerate(groups):
        group.changes = {key: values[index] for key, values in differing.items()}
        group.label = group.label or _label(group, groups)
    verdicts = [verdict for metric in compared() for verdict in _judge(metric, groups)]
    threshold = _threshold(groups[0])
    return Comparison(groups, differing, verdicts, _warnings(groups), threshold)


def _relevant(settings: dict[str, Any]) -> dict[str, Any]:
    return {
        key: SAME_DATA.get((key, str(value)), value)
        for key, value in settings.items()
        if key not in IRRELEVANT and not key.startswith(IRRELEVANT_SECTIONS)
    }


def group_runs(runs: list[Run]) -> list[Group]:
    """Runs of the same settings together, in the order of the first of each.

    A log without settings stands alone: nobody knows whether it differs in its seed only.
    """
    groups: dict[str, list[Run]] = {}
    for run in runs:
        known = _relevant(run.settings) if _is_told(run) else None
        key = f"path {run.path}"
        if known is not None:  # a run of two parts is none of its last settings alone
            key = repr((sorted(known.items(), key=str), run.parts))
        groups.setdefault(key, []).append(run)
    return [Group("", members) for members in groups.values()]


def _is_told(run: Run) -> bool:
    """Whether the log holds all settings: ours do, and CleanRL's with its text summary."""
    return (
        run.writer == "ppo"
        and bool(run.settings)
        or (run.writer == "cleanrl" and run.seed is not None)
    )


def _group_by(pattern: re.Pattern[str], runs: list[Run]) -> list[Group]:
    """Runs by what the pattern finds in them; those without a match stand alone."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        hit = pattern.search(run.name) or pattern.search(run.path)
        found = (hit[1] if pattern.groups else hit[0]) if hit else None
        groups.setdefault(run.path if found is None else f"match {found}", []).append(run)
    named = {key: key.removeprefix("match ") for key in groups if key.startswith("match ")}
    return [Group(named.get(key, ""), members) for key, members in groups.items()]


def differences(settings: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """The relevant settings that are not the same everywhere, with each one's values."""
    relevant = [_relevant(one) for one in settings]
    keys = sorted({key for one in relevant for key in one})
    differ = [key for key in keys if any(one.get(key) != relevant[0].get(key) for one in relevant)]
    return {key: [one.get(key) for one in settings] for key in differ}


def _label(group: Group, groups: list[Group]) -> str:
    names = [run.name for run in group.runs]
    name = names[0] if len(names) == 1 else f"{names[0]} +{len(names) - 1}"
    changed = ", ".join(f"{key.split('.')[-1]}={value}" for key, value in group.changes.items())
    if len(groups) == 1 or not changed or len(changed) > LABEL:
        return name
    return changed if len(names) > 1 else f"{name} ({changed})"


def _tell_apart(runs: list[Run]) -> None:
    """Runs of the same name from different places get their folder in front."""
    names = [run.name for run in runs]
    for run in runs:
        if names.count(run.name) > 1:
            run.name = "/".join(Path(run.path).resolve().parts[-2:])


def _judge(metric: Metric, groups: list[Group]) -> list[Verdict]:
    if not metric.judged or len(groups) < 2:
        return []
    verdicts = []
    for figure in ("final", "auc") if metric.name == RETURN else ("final",):
        rows = []
        for group in groups[1:]:
            ours, theirs, paired = _pairs(group, groups[0], metric.name, figure)
            if min(len(ours), len(theirs)) > 1:
                rows.append((group, ours, theirs, difference(ours, theirs, paired)))
            elif ours and theirs and (metric.name, figure) == (RETURN, "final"):
                verdicts.append(_undecided(metric, group, groups[0], ours, theirs))
        corrected = holm([row[3].p_value for row in rows])
        for (group, ours, theirs, gap), p_value in zip(rows, corrected, strict=True):
            verdicts.append(
                Verdict(
                    metric,
                    figure,
                    group,
                    groups[0],
                    gap,
                    p_value,
                    probability_of_improvement(ours, theirs),
                    improvement_interval(ours, theirs),
                    _word(metric, gap, p_value),
                )
            )
    return verdicts


def _undecided(
    metric: Metric, group: Group, baseline: Group, ours: list[float], theirs: list[float]
) -> Verdict:
    """One seed on a side: chance cannot be asked, only shown as the noise over batches."""
    nan = float("nan")
    runs = [run for side in (group, baseline) for run in side.runs if RETURN in run.figures]
    noise = float(np.sqrt(np.mean([run.figures[RETURN].noise ** 2 for run in runs])))
    gap = difference(ours, theirs)
    return Verdict(metric, "final", group, baseline, gap, nan, nan, (nan, nan), ONE_SEED, noise)


def _word(metric: Metric, gap: Difference, p_value: float) -> str:
    if not p_value < LEVEL:
        return CHANCE
    direction = "higher" if gap.mean > 0 else "lower"
    if metric.better == "none":
        return direction
    return "better" if direction == metric.better else "worse"


def _pairs(
    group: Group, baseline: Group, metric: str, figure: str
) -> tuple[list[float], list[float], bool]:
    """Scores of both; in the order of their seeds where both have the same ones, at least three."""
    ours = {run.seed: run for run in group.runs if metric in run.figures}
    theirs = {run.seed: run for run in baseline.runs if metric in run.figures}
    same = set(ours) == set(theirs) and None not in ours and len(ours) >= 3
    once = len(ours) == len(group.runs) and len(theirs) == len(baseline.runs)
    if not (same and once):
        return group.scores(metric, figure), baseline.scores(metric, figure), False
    seeds = sorted(seed for seed in ours if seed is not None)
    sides = [[getattr(s[k].figures[metric], figure) for k in seeds] for s in (ours, theirs)]
    return sides[0], sides[1], True


def _threshold(baseline: Group) -> float:
    """Nine tenths of the way from the baseline's first to its final return."""
    first = baseline.scores(RETURN, "first")
    final = baseline.scores(RETURN, "final")
    if not first or not final:
        return float("nan")
    return iqm(first) + 0.9 * (iqm(final) - iqm(first))


def _reached(log: MetricsLog, threshold: float) -> tuple[float, float] | None:
    rows = np.flatnonzero(log.get(RETURN) >= threshold)
    if not len(rows):
        return None
    steps, seconds = log.get("env_steps"), log.get("wall_time_s")
    return float(steps[rows[0]]), float(seconds[rows[0]])


def _warnings(groups: list[Group]) -> list[str]:
    """What makes the comparison itself doubtful."""
    found = []
    runs = [run for group in groups for run in group.runs]
    steps = {run.name: float(np.nanmax(run.log.get("env_steps"), initial=0.0)) for run in runs}
    longest = max(steps.values())
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
    for word in ("running", "interrupted", "failed"):
        names = [run.name for run in runs if run.status == word]
        if names:
            found.append(f"{word}: {_list(names)}")
    empty = [run.name for run in runs if not run.batches]
    if empty:
        found.append(f"no batch yet: {_list(empty)}")
    tasks = sorted({str(run.settings["env.id"]) for run in runs if "env.id" in run.settings})
    if len(tasks) > 1:
        found.append(f"different environments, whose returns do not compare: {_list(tasks)}")
    unknown = [run.name for run in runs if "env.id" not in run.settings]
    if unknown and len(runs) > 1:
        found.append(
            "no environment in the log, returns compare only if it is the same: " + _list(unknown)
        )
    versions = {run.version for run in runs if run.version}
    if len(versions) > 1:
        found.append(f"made by different versions of the code: {', '.join(sorted(versions))}")
    foreign = [run.name for run in runs if run.writer != "ppo"]
    if foreign and len(runs) > 1:
        found.append(f"logs of other libraries, units may differ: {_list(foreign)}")
    found += [
        f"{run.name} was resumed with other settings: {part}" for run in runs for part in run.parts
    ]
    thinned = [run.name for run in runs if run.note]
    if thinned:
        found.append(
            f"long runs, figures other than the return from a part of the batches: {_list(thinned)}"
        )
    return found


def _list(names: list[str]) -> str:
    shown = ", ".join(names[:4])
    return shown if len(names) <= 4 else f"{shown} and {len(names) - 4} more"
