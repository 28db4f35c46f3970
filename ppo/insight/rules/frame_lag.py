"""The return's statistics are slower than the returns."""

from __future__ import annotations

import numpy as np

from ppo.core.figures import number
from ppo.insight.logs.log import MetricsLog
from ppo.insight.rules import Change, Finding, Rule, rule
from ppo.insight.rules._critic import normalizes_returns, return_scale
from ppo.insight.rules._signs import lasting, median

AGE = 3.0  # distance of the statistics from the batch (M: healthy to 1.3)
LONG = 25  # batches: at the start returns run away from any statistics (M)
DRIFT = 1.0  # change of the returns' mean from batch to batch (M: healthy to 0.5)


@rule("frame_lag")
class FrameLag(Rule):
    number = 21
    waits = 30
    needs = (("frame_age",), ("return_drift",))
    explains = ("critic_blind", "value_loss_exploding")
    sources = ("Sample Factory PR #155",)

    def check(self, log: MetricsLog) -> Finding | None:
        if normalizes_returns(log) is False:
            return None
        scale = np.ones(len(log))
        if log.has("return_std"):  # both are logged in deviations of their own batch
            scale = log.get("return_std") / return_scale(log)
        age, drift = log.get("frame_age") * scale, log.get("return_drift") * scale
        slow = (abs(age) > AGE) | (abs(drift) > DRIFT)
        row = lasting(slow, LONG - 2, LONG)
        if row is None:
            return None
        behind = number(median(age[row:]))
        evidence = f"statistics are {behind} standard deviations behind the batch"
        if log.has("return_drift"):
            evidence += f", drift {number(median(drift[row:]))} a batch"
        changes = [
            Change("ppo.return_normalizer", "popart"),
            Change("ppo.return_horizon", "5", "batches"),
        ]
        return self.found(log, row, evidence, changes, confidence=0.7)
