"""One of several losses learns, another stands still."""

from __future__ import annotations

import numpy as np

from ppo.core.figures import number
from ppo.insight.logs.log import Column, MetricsLog
from ppo.insight.rules import MILD, Change, Finding, Rule, rule
from ppo.insight.rules._returns import rises
from ppo.insight.rules._signs import known, median

WINDOW = 20  # batches
STILL, LEARNS = 0.01, 0.2  # relative improvement (documented case: 0 against 44 %)
DONE = 0.1  # of its first loss, or unexplained share: a loss this small has nothing to learn


@rule("loss_imbalance")
class LossImbalance(Rule):
    number = 24
    severity = MILD  # a component may be noise, or come only once the task is solved
    waits = WINDOW
    sources = ("learned uncertainty weights: Kendall et al. 2018",)

    def check(self, log: MetricsLog) -> Finding | None:
        losses = {
            name: table["loss"]
            for name, table in log.components.items()
            if "loss" in table and np.isfinite(table["loss"]).sum() >= WINDOW
            if np.nanmax(np.abs(table["loss"])) > 0  # a component that never pays has no error
        }
        if len(losses) < 2:
            return None
        improved = {name: _improvement(loss) for name, loss in losses.items()}
        best = max(improved, key=lambda name: improved[name])
        there = [name for name, loss in losses.items() if not _came_later(loss)]
        worst = min(there or improved, key=lambda name: improved[name])
        solved = self._solved(log, worst)
        grows = improved[worst] < -LEARNS and rises(log)  # with the returns, as it may
        if improved[best] < LEARNS or improved[worst] > STILL or solved or grows:
            return None
        evidence = f"{worst} improved {number(100 * improved[worst])} %, {best} "
        evidence += f"{number(100 * improved[best])} % in {len(losses[worst])} batches"
        changes = [
            Change("balancing.kind", "uncertainty"),
            Change("balancing.kind", "running_mean", "with its sqrt(n) correction"),
            Change("", "", f"a larger fixed weight for {worst}"),
        ]
        row = max(len(log) - WINDOW, 0)
        return self.found(log, row, evidence, changes, confidence=0.6)

    def _solved(self, log: MetricsLog, name: str) -> bool:
        table = log.components[name]
        loss = known(table["loss"])[1]
        small = median(loss[-5:]) < DONE * float(np.max(loss[:5]))
        variance = table.get("explained_variance")
        return small or (variance is not None and median(variance[-5:]) > 1 - DONE)


def _came_later(loss: Column) -> bool:
    """Whether there was nothing to learn at first, as of a bonus for a goal that is found later."""
    _, values = known(loss)
    return bool(values[0] < DONE * median(values))


def _improvement(loss: Column) -> float:
    """Relative fall of a loss over the last WINDOW batches, or since the start if that is more."""
    _, values = known(loss)
    first = median(values[: max(len(values) // 4, 3)])
    last = median(values[-5:])
    return (first - last) / abs(first) if first else 0.0
