"""The encoder that actor and critic share serves the critic alone."""

from __future__ import annotations

import numpy as np

from ppo.core.figures import number
from ppo.insight.logs.log import MetricsLog
from ppo.insight.rules import MILD, SEVERE, Change, Finding, Rule, rule
from ppo.insight.rules._critic import alike, value_weight
from ppo.insight.rules._policy import cut
from ppo.insight.rules._returns import rises
from ppo.insight.rules._signs import lasting, median

RATIO = 100.0  # value over policy gradient on shared parameters (M: healthy 1 to 3, 100 converged)
CUT = 5.0  # gradients cut, without which a large ratio is what a converged policy shows (M)
SHARE = 0.99  # the same ratio as a share
HEAVY = 5.0  # a value loss weight ten times the usual 0.5, where no gradient is logged (J)
CHANGES = (
    Change("ppo.value_loss_weight", "", "a tenth of what it is", times=0.1),
    Change("ppo.normalize_returns", "true"),
    Change("network.shared_encoder", "false"),
)


@rule("value_loss_dominates")
class ValueLossDominates(Rule):
    number = 9
    needs = (
        ("value_to_policy_gradient", "grad_clip_factor"),
        ("value_gradient_share", "grad_clip_factor"),
        ("last_minibatch_loss", "value_loss"),
        ("value_loss_weight", "value_loss"),
    )
    explains = (
        "critic_blind", "entropy_collapse", "learning_rate_too_low", "gradients_always_clipped",
        "entropy_coefficient_too_high",
    )  # fmt: skip
    sources = ("RLlib: scaled vf_loss > 100 with shared layers", "Stable-Baselines3 #1533")

    def check(self, log: MetricsLog) -> Finding | None:
        ratio = log.get("value_to_policy_gradient")
        share = log.get("value_gradient_share")
        heavy = np.where(np.isfinite(ratio), ratio > RATIO, share > SHARE)
        times = cut(log)
        row = lasting(heavy & (times > CUT) & ~alike(log), 5, 6, share=0.5)
        if row is not None:
            evidence = f"value gradient is {number(100 * median(share[row:]))} %"
            if np.isfinite(median(ratio)):
                evidence = f"value gradient {number(median(ratio[row:]))} times the policy's"
            evidence += f", gradients cut {number(median(times[row:]))} times"
            return self.found(log, row, evidence, CHANGES, confidence=0.8)
        return self._by_weight(log)

    def _by_weight(self, log: MetricsLog) -> Finding | None:
        """Without gradients: a weight that is large in itself, in a log of raw returns."""
        weight = value_weight(log)
        if log.writer == "ppo" or not weight > HEAVY:
            return None
        evidence = f"value loss weight about {number(weight)} (usual: 0.5)"
        changes = [Change("ppo.value_loss_weight", "0.5"), *CHANGES[1:]]
        guessed = not log.has("value_loss_weight")  # networks of their own may learn all the same
        severity = MILD if guessed and rises(log) else SEVERE
        return self.found(log, 0, evidence, changes, confidence=0.6, severity=severity)
