"""Whether two groups of runs differ by more than chance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ppo.core.figures import number, signed
from ppo.core.metrics import Metric
from ppo.functional.bootstrap import LEVEL
from ppo.insight.comparison.groups import RETURN, Group
from ppo.insight.comparison.statistics import (
    Difference,
    difference,
    holm,
    probability_of_improvement,
)

# What a verdict may be beside better and worse.
CHANCE, ONE_SEED, OPEN = "chance", "one seed", "open"
MANY = 100  # seeds beyond which their number is no plan


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
    word: str  # better, worse, higher, lower; CHANCE; ONE_SEED where that cannot be asked; OPEN
    # where the group that is ahead lost runs, so that only those that went well are counted
    noise: float = float("nan")  # of the batches of the last tenth: their standard deviation

    def line(self) -> str:
        """The verdict in words."""
        gap, ours, theirs = self.difference, self.group.label, self.baseline.label
        head = f"{self.metric.label} ({_FIGURE_WORDS[self.figure]}):"
        if self.word == ONE_SEED:
            sides = (self.group, self.baseline)
            alone = [s.label for s in sides if len(s.scores(self.metric.name, self.figure)) == 1]
            seeds = "a group" if len(alone) == 2 else f"of {alone[0]}"
            return (
                f"{head} nothing can be told of {ours} and {theirs} with one seed {seeds}: they "
                f"differ by {signed(gap.mean)}, and the batches of that tenth by "
                f"{number(self.noise)} (standard deviation){self._losses()}"
            )
        if self.word == CHANCE:
            if gap.mean == 0:
                return f"{head} {ours} has the same mean as {theirs}{self._losses()}"
            found = f"{head} {ours} and {theirs} do not differ by more than chance"
            found += f" (means {signed(gap.mean)}, p {self.p_value:.2g})"
            if gap.more_seeds is not None:
                plural = "s" * (gap.more_seeds != 1)
                count = f"about {gap.more_seeds}" if gap.more_seeds <= MANY else f"over {MANY}"
                found += f"; to show this needs {count} more seed{plural} a group"
            return found + self._losses()
        interval = f"[{signed(gap.low)}, {signed(gap.high)}]"
        chance = f"P(improvement) {self.improvement:.2f}, p {self.p_value:.2g}"
        pairing = ", paired by seed" if gap.paired else ""
        how = f"{signed(gap.mean)} in the mean {interval}, {chance}{pairing}{self._losses()}"
        if self.word == OPEN:
            return f"{head} open between {ours} and {theirs}; what is left differs by {how}"
        return f"{head} {ours} is {self.word} than {theirs} by {how}"

    def _losses(self) -> str:
        """The runs that failed or have no figure, which the figures cannot show."""
        return "".join(
            f"; {lost} of the {len(side.runs)} runs of {side.label} failed or have no such figure"
            for side in (self.group, self.baseline)
            if (lost := _lost(self.metric, self.figure, side))
        )

    def short(self) -> str:
        """The verdict in a cell of a table."""
        gap = signed(self.difference.mean)
        if self.word == ONE_SEED:
            return f"{gap}, one seed"
        word = {CHANCE: "no more than chance", OPEN: "open, runs lost"}.get(self.word, self.word)
        return f"{word} ({gap}, p {self.p_value:.2g})"


Sides = tuple[Group, Group]
_FIGURE_WORDS = {"final": "last tenth", "auc": "area under the curve"}


def judge(metric: Metric, groups: list[Group]) -> list[Verdict]:
    """Each group on the environment of the first one against that, by one metric."""
    if not metric.judged or len(groups) < 2:
        return []
    comparable = [group for group in groups[1:] if group.compares(groups[0])]
    verdicts = []
    for figure in ("final", "auc") if metric.name == RETURN else ("final",):
        rows = []
        for group in comparable:
            ours, theirs, paired = _pairs(group, groups[0], metric.name, figure)
            if min(len(ours), len(theirs)) > 1:
                gap = difference(ours, theirs, paired, tests=len(comparable))
                rows.append((group, ours, theirs, gap))
            elif ours and theirs and (metric.name, figure) == (RETURN, "final"):
                verdicts.append(_undecided(metric, group, groups[0], ours, theirs))
        corrected = holm([row[3].p_value for row in rows])
        for (group, ours, theirs, gap), p_value in zip(rows, corrected, strict=True):
            sides, chance = (group, groups[0]), probability_of_improvement(ours, theirs)
            word = _word(metric, figure, gap, p_value, sides)
            verdicts.append(Verdict(metric, figure, *sides, gap, p_value, chance, word))
    return verdicts


def _undecided(
    metric: Metric, group: Group, baseline: Group, ours: list[float], theirs: list[float]
) -> Verdict:
    """One seed on a side: chance cannot be asked, only shown as the noise over batches."""
    nan = float("nan")
    runs = [run for side in (group, baseline) for run in side.runs if RETURN in run.figures]
    noises = [run.figures[RETURN].noise for run in runs if np.isfinite(run.figures[RETURN].noise)]
    noise = float(np.sqrt(np.mean(np.square(noises)))) if noises else nan
    gap = difference(ours, theirs)
    return Verdict(metric, "final", group, baseline, gap, nan, nan, ONE_SEED, noise)


def _lost(metric: Metric, figure: str, group: Group) -> int:
    """Runs of a group that failed, whatever they had reached until then, or have no figure."""
    learns = metric.group != "counters"
    kept = [run for run in group.runs if not (learns and run.status == "failed")]
    return len(group.runs) - len(Group("", kept).scores(metric.name, figure))


def _word(metric: Metric, figure: str, gap: Difference, p_value: float, sides: Sides) -> str:
    if not p_value < LEVEL:
        return CHANCE
    direction = "higher" if gap.mean > 0 else "lower"
    if metric.better == "none":
        return direction
    better = direction == metric.better
    if _lost(metric, figure, sides[0 if better else 1]):
        return OPEN
    return "better" if better else "worse"


def _pairs(
    group: Group, baseline: Group, metric: str, figure: str
) -> tuple[list[float], list[float], bool]:
    """Scores of both; in the order of their seeds where both have the same ones, at least three."""
    ours, theirs = _by_seed(group, metric, figure), _by_seed(baseline, metric, figure)
    same = set(ours) == set(theirs) and None not in ours and len(ours) >= 3
    once = len(ours) == len(group.runs) and len(theirs) == len(baseline.runs)
    if not (same and once):
        return group.scores(metric, figure), baseline.scores(metric, figure), False
    seeds = sorted(seed for seed in ours if seed is not None)
    return [ours[seed] for seed in seeds], [theirs[seed] for seed in seeds], True


def _by_seed(group: Group, metric: str, figure: str) -> dict[int | None, float]:
    """The finite scores of its runs."""
    found = {
        run.seed: float(getattr(run.figures[metric], figure))
        for run in group.runs
        if metric in run.figures
    }
    return {seed: score for seed, score in found.items() if np.isfinite(score)}
