"""One transition owns the batch: a reward far outside all others."""

from __future__ import annotations

import numpy as np

from ppo.core.figures import number
from ppo.insight.logs.log import Column, MetricsLog
from ppo.insight.rules import RULES, SEVERE, Change, Finding, Rule
from ppo.insight.rules._signs import median

ROBUST_SIGMAS = 1e3  # of the rewards' interquartile scale (J; threads: 1e5)
JUMP = 10.0  # times all that came before, in std or root error (J)
FALL_BACK = 3  # batches within which it must have passed
HISTORY = 3  # batches before the first jump that can be judged


@RULES.register("reward_outlier")
class RewardOutlier(Rule):
    illness = "reward_outlier"
    number = 2
    severity = SEVERE
    needs = (("reward_outlier",), ("return_std",), ("value_rmse",))
    explains = (
        "reward_scale_too_large",
        "gradients_always_clipped",
        "value_loss_dominates",
        "value_loss_exploding",
        "frame_lag",
        "policy_collapse",
        "critic_blind",
    )
    sources = ("unitree_rl_lab #13", "IsaacLab PR #2019")

    def check(self, log: MetricsLog) -> Finding | None:
        scale = log.get("return_std") if log.has("return_std") else log.get("value_rmse")
        spikes = _spikes(scale)
        outlier = log.get("reward_outlier")
        if log.has("reward_outlier"):
            spikes = [row for row in spikes if not outlier[row] < ROBUST_SIGMAS]
        if not spikes:
            return None
        row = spikes[0]
        usual = median(np.delete(scale, spikes))
        what = "return deviation" if log.has("return_std") else "root of the value loss"
        evidence = (
            f"{what} {number(scale[row])} in batch {log.batch(row)}, {number(usual)} as a rule"
        )
        if np.isfinite(outlier[row]):
            evidence += f"; a reward {number(outlier[row])} robust standard deviations off"
        if len(spikes) > 1:
            evidence += f"; {len(spikes)} such batches"
        changes = [
            Change("", "", "bound the actions, or end the episode where the simulation breaks"),
            Change("", "", "clip that reward at its 99.9th percentile"),
            Change("ppo.normalize_returns", "true"),
        ]
        return self.found(log, row, evidence, changes, confidence=0.9)


def _spikes(scale: Column) -> list[int]:
    """Rows that exceed all earlier ordinary rows by JUMP and are followed by an ordinary row."""
    rows = np.flatnonzero(np.isfinite(scale) & (scale > 0))
    spikes: list[int] = []
    largest, seen = 0.0, 0
    for place, row in enumerate(rows):
        value = float(scale[row])
        following = scale[rows[place + 1 : place + 1 + FALL_BACK]]
        if seen >= HISTORY and value > JUMP * largest:
            if len(following) == 0 or float(following.min()) < value / JUMP:
                spikes.append(int(row))
                continue
        largest, seen = max(largest, value), seen + 1
    return spikes
