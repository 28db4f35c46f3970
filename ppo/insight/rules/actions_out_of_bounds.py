"""The policy's actions lie outside the bounds, where the environment cuts them off."""

from __future__ import annotations

import numpy as np

from ppo.core.figures import number
from ppo.insight.logs.log import MetricsLog
from ppo.insight.rules import MILD, SEVERE, Change, Finding, Rule, rule
from ppo.insight.rules._returns import rises
from ppo.insight.rules._signs import first_finite, lasting, median

OUTSIDE = 0.3  # share of sampled actions (J)
BESIDE = 0.2  # share beside that of a policy whose mean is in the middle (J)
WIDE = 4.0  # starting std in units of the actions, whose bounds are mostly 1 (J)
LONG = 20  # batches before a share is judged; a start too wide shows itself sooner
MOST = 0.7  # share at which the gradient sees next to nothing


@rule("actions_out_of_bounds")
class ActionsOutOfBounds(Rule):
    number = 27
    waits = 10
    needs = (("action_out_of_bounds_share",), ("policy_std",))
    explains = ("reward_outlier", "entropy_coefficient_too_high")
    sources = ("baselines #371", "rl_games bounds_loss")

    def check(self, log: MetricsLog) -> Finding | None:
        outside = log.get("action_out_of_bounds_share")
        if log.setting("network.action_squash") == "tanh" or rises(log):
            return None  # bang-bang control that learns is no illness
        wide = first_finite(log.get("policy_std"))
        if wide > WIDE and not log.has("action_out_of_bounds_share"):
            evidence = f"policy std {number(wide)} from the start, in units of the actions"
            narrower = [Change("network.initial_log_std", "0.0")]
            return self.found(log, 0, evidence, narrower, confidence=0.5, severity=SEVERE)
        if not log.has("action_out_of_bounds_share"):
            return None
        from scipy import special  # imported here: runs of choices do without it

        noise = special.erfc(1.0 / (np.sqrt(2.0) * log.get("policy_std")))  # outside by itself
        row = lasting(outside > np.fmax(OUTSIDE, noise + BESIDE), 9, 10)
        if row is None or len(log) < LONG:
            return None
        share = median(outside[row:])
        evidence = f"{number(100 * share)} % of the actions lie outside their bounds"
        changes = [
            Change("network.action_squash", "tanh"),
            Change("network.initial_log_std", "-1.0"),
            Change("ppo.entropy_coefficient", "0.0"),
        ]
        severity = SEVERE if share > MOST else MILD
        return self.found(log, row, evidence, changes, confidence=0.6, severity=severity)
