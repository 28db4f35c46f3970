"""The network loses capacity. Supporting evidence, never a cause on its own."""

from __future__ import annotations

import numpy as np

from ppo.core.figures import number
from ppo.insight.logs.log import MetricsLog
from ppo.insight.rules import MILD, RULES, Change, Finding, Rule
from ppo.insight.rules._signs import known, lasting, median, rises

LONG = 40  # batches: a policy that stands still makes units look dead for a while (M)
DEAD = 0.25  # share of units (J)
RANK = 0.1  # effective rank over width (J)


@RULES.register("dead_units")
class DeadUnits(Rule):
    illness = "dead_units"
    number = 18
    severity = MILD
    needs = (("dead_units",), ("effective_rank",))
    explains = ("policy_collapse",)
    sources = ("No Representation, No Trust (2024)", "Sokar et al. 2023")

    def check(self, log: MetricsLog) -> Finding | None:
        if rises(
            log
        ):  # a good policy visits few states, and units that do not vary there look dead
            return None
        rows, dead = known(log.get("dead_units"))
        row = lasting(dead > DEAD, LONG - 5, LONG)
        if row is not None:
            evidence = f"{number(100 * median(dead[row:]))} % of the units are dead"
            return self.found(log, int(rows[row]), evidence, self._changes(), confidence=0.6)
        rows, rank = known(log.get("effective_rank"))
        row = lasting((rank < RANK) & (rank <= 1), 3, 4) if len(log) >= LONG else None
        if row is None or not rank[-1] < 0.5 * np.max(rank):
            return None
        evidence = f"effective rank {number(100 * median(rank[row:]))} % of the width and falling"
        return self.found(log, int(rows[row]), evidence, self._changes(), confidence=0.4)

    def _changes(self) -> list[Change]:
        return [
            Change("network.layer_norm", "true"),
            Change("ppo.learning_rate", "", "a third of what it was", times=1 / 3),
            Change("ppo.num_epochs", "", "half as many epochs", times=0.5),
        ]
