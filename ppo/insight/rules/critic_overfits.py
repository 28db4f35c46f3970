"""The critic memorizes each batch and cannot predict the next."""

from __future__ import annotations

from ppo.core.figures import number
from ppo.insight.logs.log import MetricsLog
from ppo.insight.rules import Change, Finding, Rule, rule
from ppo.insight.rules._signs import lasting, median

AFTER, BEFORE = 0.9, 0.3  # explained variance after and before the update (J)


@rule("critic_overfits")
class CriticOverfits(Rule):
    number = 16
    needs = (("explained_variance", "explained_variance_after"),)
    sources = ("calibrated here",)

    def check(self, log: MetricsLog) -> Finding | None:
        before, after = log.get("explained_variance"), log.get("explained_variance_after")
        row = lasting((after > AFTER) & (before < BEFORE), 9, 10)
        if row is None:
            return None
        evidence = f"explained variance {number(median(before[row:]))} before the update"
        evidence += f", {number(median(after[row:]))} after"
        changes = [
            Change("ppo.num_epochs", "", "half as many epochs", times=0.5),
            Change("ppo.num_steps", "", "twice as many steps a batch", times=2.0),
            Change("network.layer_norm", "true"),
        ]
        return self.found(log, row, evidence, changes, confidence=0.6)
