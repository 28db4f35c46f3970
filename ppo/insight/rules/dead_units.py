"""The network loses capacity: supporting evidence, a cause only where nothing passes it at all."""

from __future__ import annotations

import numpy as np

from ppo.core.figures import number
from ppo.insight.logs.log import MetricsLog
from ppo.insight.rules import MILD, SEVERE, SLOWER, Change, Finding, Rule, rule
from ppo.insight.rules._policy import ordinary_rate
from ppo.insight.rules._returns import begins_late, falls, rises
from ppo.insight.rules._signs import known, lasting, median

LONG = 40  # batches: a policy that stands still makes units look dead for a while (M)
DEAD = 0.25  # share of units (J)
RANK = 0.1  # effective rank over width (J)
# From a log without figures on units, what is left where all are dead: the last biases.
NOTHING = 1e-6  # explained variance of one value for all states, in 32 bits (M)
BIASES = 1e-4  # KL of a policy of which nothing else moves at an ordinary rate (M: 1e-6)
SEEN = 20  # batches
CHANGES = (
    Change("network.layer_norm", "true"),
    SLOWER,
    Change("ppo.num_epochs", "", "half as many epochs", times=0.5),
)
OF_ALL = (  # what units explain that are all dead
    "policy_collapse",
    "no_reward_signal",
    "learning_rate_too_low",
    "critic_blind",
    "observations_unnormalized",
)


@rule("dead_units")
class DeadUnits(Rule):
    number = 18
    severity = MILD
    needs = (("dead_units",), ("effective_rank",), ("explained_variance", "approx_kl"))
    explains = ("policy_collapse",)
    sources = ("No Representation, No Trust (2024)", "Sokar et al. 2023")

    def check(self, log: MetricsLog) -> Finding | None:
        good = rises(log) or (begins_late(log) and not falls(log))
        if good:  # such a policy visits few states, and units that do not vary there look dead
            return None
        if not log.has("dead_units") and not log.has("effective_rank"):
            return self._by_traces(log)
        rows, dead = known(log.get("dead_units"))
        row = lasting(dead > DEAD, LONG - 5, LONG)
        if row is not None:
            evidence = f"{number(100 * median(dead[row:]))} % of the units are dead"
            return self.found(log, int(rows[row]), evidence, CHANGES, confidence=0.6)
        rows, rank = known(log.get("effective_rank"))
        row = lasting((rank < RANK) & (rank <= 1), 3, 4) if len(log) >= LONG else None
        if row is None or not rank[-1] < 0.5 * np.max(rank):
            return None
        evidence = f"effective rank {number(100 * median(rank[row:]))} % of the width and falling"
        return self.found(log, int(rows[row]), evidence, CHANGES, confidence=0.4)

    def _by_traces(self, log: MetricsLog) -> Finding | None:
        """One value for all states, and a policy that hardly moves although its rate is ordinary:
        nothing of the observation passes the layers."""
        rows, variance = known(np.abs(log.get("explained_variance")))
        moves = median(np.abs(log.get("approx_kl")))
        usual = log.has("learning_rate") and ordinary_rate(log)
        blind = len(variance) >= SEEN and 0 < np.max(variance) < NOTHING
        if not blind or not usual or not moves < BIASES:
            return None
        evidence = f"the critic has one value for all states in {len(variance)} batches, and KL is"
        evidence += f" {number(moves)} at an ordinary learning rate: only the last biases move"
        look = Change("", "", "look whether observations are all zero, or hidden units all dead")
        changes = [look, Change("env.normalize_observations", "true"), *CHANGES]
        return self.found(log, int(rows[0]), evidence, changes, 0.97, SEVERE, OF_ALL)
