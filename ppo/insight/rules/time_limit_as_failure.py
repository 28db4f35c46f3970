"""Time limits are taken for failures: every episode ends at its limit, none is truncated."""

from __future__ import annotations

import numpy as np

from ppo.core.figures import number
from ppo.insight.logs.log import MetricsLog
from ppo.insight.rules import Change, Finding, Rule, rule
from ppo.insight.rules._returns import rises
from ppo.insight.rules._signs import first_finite, lasting, median

FIXED = 0.95  # share from the first batch on: a task of fixed length, if it is learned
AT_LIMIT = 0.5  # share of episodes that end at one and the same greatest length (J)


@rule("time_limit_as_failure")
class TimeLimitAsFailure(Rule):
    number = 23
    waits = 20
    needs = (("at_limit_share", "timeout_share"),)
    explains = ("critic_blind",)
    sources = ("CleanRL #198", "skrl #449", "IsaacLab-Arena PR #1015")

    def check(self, log: MetricsLog) -> Finding | None:
        limit, timeout = log.get("at_limit_share"), log.get("timeout_share")
        row = lasting((limit > AT_LIMIT) & (timeout == 0), 5, 6)
        fixed = first_finite(limit) > FIXED and bool(np.nanmin(limit) > FIXED)
        if row is None or (fixed and rises(log)):
            return None
        share = number(100 * median(limit[row:]))
        evidence = f"{share} % of the episodes end at their limit, none truncated"
        changes = [
            Change("", "", "report the time limit as truncated, not as terminated"),
            Change("env.kwargs", "", "or put the time left into the observation"),
        ]
        return self.found(log, row, evidence, changes, confidence=0.8)
