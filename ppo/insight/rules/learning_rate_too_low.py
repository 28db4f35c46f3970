"""Nothing moves: the policy is the same after each batch."""

from __future__ import annotations

import numpy as np

from ppo.core.figures import number, setting
from ppo.insight.logs.log import MetricsLog
from ppo.insight.rules import RULES, Change, Finding, Rule
from ppo.insight.rules._signs import ORDINARY_RATE, falls, known, lasting, median, rises

KL = 1e-4  # J
FROZEN = 1e-5  # KL below which no rise of the return is the policy's doing (J)
CLIPPED = 0.005  # share of samples outside the clip (J)
LONG = 20  # batches
UNIFORM = 0.95  # relative entropy (J)
UNMOVED = 0.05  # relative change of the policy's std (J)


@RULES.register("learning_rate_too_low")
class LearningRateTooLow(Rule):
    illness = "learning_rate_too_low"
    number = 12
    waits = LONG
    needs = (("approx_kl",),)
    sources = ("andyljones.com/posts/rl-debugging.html",)

    def check(self, log: MetricsLog) -> Finding | None:
        kl, clipped = log.get("approx_kl"), log.get("clip_fraction")
        still = (np.abs(kl) < KL) & ~(clipped > CLIPPED)
        row = lasting(still, LONG - 2, LONG)
        if row is None or self._moved(log):
            return None
        frozen = bool(median(np.abs(kl)) < FROZEN)
        if falls(log) or (rises(log) and not frozen):
            return None
        rate = median(log.get("learning_rate"))
        low = rate < ORDINARY_RATE[0]
        evidence = f"KL {number(median(kl[row:]))} a batch"
        evidence += "" if rises(log) else ", return flat"
        if np.isfinite(rate):
            evidence += f", learning rate {number(rate)}"
        higher = "3e-4" if low or not np.isfinite(rate) else setting(3 * rate)
        changes = [
            Change("ppo.learning_rate", higher),
            Change("ppo.max_grad_norm", "", "check that gradients are not cut away"),
        ]
        finding = self.found(log, row, evidence, changes, confidence=0.97 if low else 0.5)
        if low:  # a rate this small explains the critic as well
            explained = (
                "reward_scale_too_large",
                "critic_blind",
                "value_loss_weight_too_small",
                "value_clip_too_tight",
                "entropy_coefficient_too_high",
                "no_reward_signal",
                "policy_collapse",
            )
            return Finding(**{**vars(finding), "explains": explained})
        return finding

    def _moved(self, log: MetricsLog) -> bool:
        entropy = log.get("entropy_relative")
        if log.has("entropy_relative"):
            return bool(median(entropy[-5:]) < UNIFORM)
        _, deviation = known(log.get("policy_std"))
        if len(deviation):
            return bool(abs(median(deviation[-5:]) / deviation[0] - 1) > UNMOVED)
        return False
