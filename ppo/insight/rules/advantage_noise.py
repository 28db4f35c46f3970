"""At the optimum, normalized advantages are noise blown up to size 1."""

from __future__ import annotations

from ppo.insight.logs.log import MetricsLog
from ppo.insight.rules import MILD, RULES, Change, Finding, Rule, lasting, median, number

KNOWS = 0.98  # explained variance (J)
SMALL = 0.01  # deviation of advantages over that of returns (J)
MOVES = 0.02  # KL: the policy still moves as if there were something to learn (S)


@RULES.register("advantage_noise")
class AdvantageNoise(Rule):
    illness = "advantage_noise"
    number = 29
    severity = MILD
    needs = (("advantage_std", "return_std", "explained_variance", "approx_kl"),)
    explains = ("policy_collapse",)
    sources = ("DreamerV3: the limit of its return scale",)

    def check(self, log: MetricsLog) -> Finding | None:
        small = log.get("advantage_std") / log.get("return_std")
        noise = (log.get("explained_variance") > KNOWS) & (small < SMALL)
        row = lasting(noise & (log.get("approx_kl") > MOVES), 8, 10)
        if row is None:
            return None
        evidence = f"advantages are {number(100 * median(small[row:]))} % of the returns' deviation"
        changes = [
            Change("ppo.normalize_advantages", "none"),
            Change("ppo.learning_rate_schedule", "linear"),
        ]
        return self.found(log, row, evidence, changes, confidence=0.4)
