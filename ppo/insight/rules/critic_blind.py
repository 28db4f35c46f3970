"""The critic cannot fit even the batch in front of it: its inputs lack what it needs."""

from __future__ import annotations

import numpy as np

from ppo.core.figures import number
from ppo.insight.logs.log import MetricsLog
from ppo.insight.rules import MILD, SEVERE, Change, Finding, Rule, rule
from ppo.insight.rules._critic import left
from ppo.insight.rules._policy import FROZEN, bottleneck
from ppo.insight.rules._returns import begins_late, leans, rises
from ppo.insight.rules._signs import lasting, median

BLIND = 0.1  # explained variance (J)
LONG = 20  # batches
BIASED = 0.2  # bias share above which the offset, not the features, is missing (J)
BLOCKED = 0.1  # share of samples held by the value clip (J)
FITS = 0.02  # explained variance after minus before the update (J)
WORKS = 0.02  # root error now over that of the first batch: nothing left to explain


@rule("critic_blind")
class CriticBlind(Rule):
    number = 15
    severity = MILD
    waits = LONG
    needs = (("explained_variance",),)
    sources = ("andyljones.com/posts/rl-debugging.html: residual variance near 1",)

    def check(self, log: MetricsLog) -> Finding | None:
        variance = log.get("explained_variance")
        units = bottleneck(log)
        cannot = (variance < BLIND) & ((units > 0) | ~(log.get("bias_share") > BIASED))
        cannot &= ~(log.get("value_clip_fraction") > BLOCKED)
        cannot &= ~(log.get("explained_variance_after") - variance > FITS)
        long = LONG // 2 if units else LONG
        row = lasting(cannot, long - 2, long)
        if not log.has("mean_episode_return") and log.writer != "ppo":
            return None  # a critic that comes late is healthy where the return rises
        if row is None or left(log.get("value_rmse")) < WORKS:
            return None
        frozen = units > 0 and median(np.abs(log.get("approx_kl"))) < FROZEN
        if (rises(log) or leans(log)) and not frozen:
            return None
        if begins_late(log) and not units:
            return None  # a critic that comes late, and a return whose rise is not seen
        level, after = median(variance[row:]), median(log.get("explained_variance_after")[row:])
        evidence = f"explained variance {number(level)} for {len(log) - row} batches"
        if direct := log.has("explained_variance_after"):
            evidence += f", {number(after)} after the update"
        changes = [
            Change("env.normalize_observations", "true"),
            Change("network.hidden_sizes", "[256, 256]"),
            Change("", "", "add what is missing to the observation: time left, goal, memory"),
        ]
        if units:
            evidence += f"; a layer of the network has {units} unit{'s' if units > 1 else ''}"
            return self.found(log, row, evidence, [changes[1]], confidence=0.9, severity=SEVERE)
        return self.found(log, row, evidence, changes, confidence=0.7 if direct else 0.4)
