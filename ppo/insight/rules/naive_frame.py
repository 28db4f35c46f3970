"""Values enter the advantages in network units, beside rewards in reward units."""

from __future__ import annotations

import numpy as np

from ppo.insight.logs.log import MetricsLog
from ppo.insight.rules import RULES, Change, Finding, Rule, lasting, median, number

UNIT = (0.5, 2.0)  # deviation of values that were never carried back (J)
OFF = (0.3, 3.0)  # deviation of the returns, outside of which that is a fault (J)


@RULES.register("naive_frame")
class NaiveFrame(Rule):
    illness = "naive_frame"
    number = 22
    needs = (("value_std", "return_std"),)
    explains = ("critic_blind", "critic_overfits")
    sources = ("MAPPO #12", "measured: such values are no better than no baseline")

    def check(self, log: MetricsLog) -> Finding | None:
        values, returns = log.get("value_std"), log.get("return_std")
        scale = log.number("ppo.return_scale")
        scale = scale if np.isfinite(scale) else 1.0
        unit = (values > UNIT[0] * scale) & (values < UNIT[1] * scale)
        off = (returns / scale < OFF[0]) | (returns / scale > OFF[1])
        row = lasting(unit & off, 8, 10)
        if row is None or log.setting("ppo.normalize_returns") is not True:
            return None
        evidence = (
            f"values in the advantages have deviation {number(median(values[row:]))}, "
            f"returns {number(median(returns[row:]))}"
        )
        changes = [Change("ppo.return_normalizer", "popart", "values are then carried back")]
        return self.found(log, row, evidence, changes, confidence=0.6)
