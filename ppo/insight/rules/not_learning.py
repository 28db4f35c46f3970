"""The return never rises, and no other rule explains why."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ppo.core.figures import number
from ppo.insight.logs.log import Column, MetricsLog
from ppo.insight.rules import SLOWER, Change, Finding, Rule, rule
from ppo.insight.rules._policy import bottleneck
from ppo.insight.rules._returns import (
    LATE,
    OUTSIDE,
    SIGN,
    UNTOLD,
    at_once,
    begins_late,
    falls,
    fell,
    harder,
    highest,
    leans,
    lucky,
    opposed,
    rises,
    surer,
)
from ppo.insight.rules._signs import known, median
from ppo.insight.rules._solved import stays_solved

LONG = 40  # updates (J)
RETURNS = 18  # rows with a return, in which it would have risen (J)
ROSE = 3.0  # standard errors by which what follows must exceed what was before (J)
DOUBTED = 4.0  # the same, where the returns may be means over many (J)
PART = 6  # stretches that a run is cut into
SPLITS = 24  # parts of a run, after each of which it may have risen


@rule("not_learning")
class NotLearning(Rule):
    number = 29
    waits = 12  # of which a clear fall can be seen
    needs = (("mean_episode_return",),)
    sources = ("calibrated here",)

    def check(self, log: MetricsLog) -> Finding | None:
        rows, returns = known(log.get("mean_episode_return"))
        if falls(log):
            best = int(rows[np.argmax(returns)])
            return None if harder(log, best) else self._fallen(log, rows, returns)
        if log.updates() < LONG or len(returns) < RETURNS or rises(log) or leans(log):
            return None
        if begins_late(log) or harder(log, int(rows[0])) or at_once(log) or stays_solved(log):
            return None  # what was won before is not seen; a harder task hides what is won
        size = len(returns) // PART
        stretches = returns[-size * PART :].reshape(PART, size).mean(axis=1)
        if _higher(log) > (DOUBTED if log.writer in UNTOLD else ROSE) and not lucky(log):
            return None
        if fell(log):
            return self._fallen(log, rows, returns)
        evidence = f"return {number(stretches[0])} -> {number(stretches[-1])}"
        evidence += f" in {len(returns)} batches, never clearly higher"
        changes = [
            Change("ppo.learning_rate", "", "three times what it was", times=3.0),
            Change("ppo.num_steps", "", "four times as many steps a batch", times=4.0),
            Change("", "", "look whether reward and observation hold what the task needs"),
        ]
        if units := bottleneck(log):
            wider = Change("network.hidden_sizes", "[64, 64]", f"the narrowest layer has {units}")
            changes = [wider, *changes]
        return self.found(log, int(rows[0]), evidence, changes, confidence=0.5)

    def _fallen(self, log: MetricsLog, rows: NDArray[np.int64], returns: Column) -> Finding:
        """A return that is lower than it ever began: what it depends on has changed."""
        part = len(returns) // PART
        best = int(np.argmax(returns))
        low = float(np.mean(returns[-part:]))
        evidence = f"return {number(float(np.mean(returns[:part])))} -> {number(low)}: it fell"
        changes = [
            Change("", "", OUTSIDE),
            SLOWER,
        ]
        variance = median(log.get("explained_variance")[-LATE:])
        if opposed(log):
            evidence += f", though the critic explains {number(variance)} of its targets' variance"
            evidence += " and the policy grows surer: it is trained on something else"
            changes = [Change("", "", SIGN), changes[0]]
        elif surer(log) and not log.has("explained_variance"):
            changes.insert(1, Change("", "", SIGN))
        return self.found(log, int(rows[best]), evidence, changes, confidence=0.6)


def _higher(log: MetricsLog) -> float:
    """The largest rise, in standard errors: of all that follows a row over all before it, or of a
    later stretch over the first."""
    rows = len(log.returns())
    size = rows // PART
    start = rows - size * PART
    stretches = [slice(start + i * size, start + (i + 1) * size) for i in range(PART)]
    least = rows // PART if log.writer in UNTOLD else 2  # the first may be means of few episodes
    cuts = {max(rows * i // SPLITS, least) for i in range(1, SPLITS)}
    parts = [(slice(cut), slice(cut, rows)) for cut in sorted(cuts)]
    return highest(log, parts + [(stretches[0], later) for later in stretches[1:]])
