"""The return's statistics are slower than the returns."""

from __future__ import annotations

from ppo.logs.metrics_log import MetricsLog
from ppo.rules import RULES, Change, Finding, Rule, lasting, median, normalizes_returns, number


AGE = 1.0  # distance of the statistics from the batch, in deviations (J)
DRIFT = 0.5  # |log of the ratio of deviations| from batch to batch (J)


@RULES.register("frame_lag")
class FrameLag(Rule):
    illness = "frame_lag"
    number = 21
    waits = 8
    needs = (("frame_age",), ("return_drift",))
    explains = ("critic_blind", "value_loss_exploding")
    sources = ("Sample Factory PR #155",)

    def check(self, log: MetricsLog) -> Finding | None:
        if normalizes_returns(log) is False:
            return None
        age, drift = log.get("frame_age"), log.get("return_drift")
        slow = (abs(age) > AGE) | (abs(drift) > DRIFT)
        row = lasting(slow, 5, 6)
        if row is None:
            return None
        evidence = f"statistics are {number(median(age[row:]))} deviations behind the batch"
        if log.has("return_drift"):
            evidence += f", drift {number(median(drift[row:]))} a batch"
        changes = [
            Change("ppo.return_normalizer", "popart"),
            Change("ppo.return_horizon", "5", "batches"),
        ]
        return self.found(log, row, evidence, changes, confidence=0.7)
