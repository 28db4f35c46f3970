"""Rollout and update see different policies: the first minibatch's ratio is not 1."""

from __future__ import annotations

from ppo.core.figures import number
from ppo.insight.logs.log import MetricsLog
from ppo.insight.rules import Change, Finding, Rule, rule
from ppo.insight.rules._signs import lasting, median

LARGEST = 1e-4  # max |ratio - 1| on the first minibatch (S: "if ratios are not 1, there is a bug")
ROUNDED = 0.2  # with encoders in bfloat16, which round by the shape of a batch; seen: 0.075


@rule("ratio_not_one")
class RatioNotOne(Rule):
    number = 4
    needs = (("ratio_first",),)
    explains = ("learning_rate_too_high", "learning_rate_too_low")
    sources = ("The 37 Implementation Details of PPO, debugging",)

    def check(self, log: MetricsLog) -> Finding | None:
        ratio = log.get("ratio_first")
        rounds = log.setting("system.precision") == "bfloat16"
        row = lasting(ratio > (ROUNDED if rounds else LARGEST), 4, 5, share=0.5)
        if row is None:
            return None
        off = number(median(ratio[row:]))
        evidence = f"ratio is off 1 by {off} before the first step of a batch"
        changes = [
            Change("", "", "update the observation statistics after the policy, not before"),
            Change("", "", "no dropout or batch normalization in the policy"),
        ]
        return self.found(log, row, evidence, changes, confidence=0.9)
