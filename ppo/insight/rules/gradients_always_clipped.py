"""Every step is cut far down: the clip sets the step, the larger loss its direction."""

from __future__ import annotations

import numpy as np

from ppo.core.figures import number
from ppo.insight.logs.log import Column, MetricsLog
from ppo.insight.rules import Change, Finding, Rule, rule
from ppo.insight.rules._critic import alike, return_scale
from ppo.insight.rules._policy import cut
from ppo.insight.rules._returns import rises
from ppo.insight.rules._signs import lasting, median

CUT = 30.0  # gradient norm over the clip (M: healthy to 19 with a narrow policy, sick to 8,500)
BLIND = 0.5  # explained variance: a critic that works makes large gradients harmless (M)
SHARE = 0.9  # of the steps


@rule("gradients_always_clipped")
class GradientsAlwaysClipped(Rule):
    number = 8
    needs = (("grad_clip_factor",), ("grad_norm",))
    explains = ("learning_rate_too_low",)
    sources = ("regressions whose gradients were cut 60 to 141 times and learned nothing",)

    def check(self, log: MetricsLog) -> Finding | None:
        times = cut(log)
        clipped = log.get("grad_clipped_fraction")
        often = (~np.isfinite(clipped) | (clipped > SHARE)) & ~alike(log)
        blind = ~(_explained(log) > BLIND)
        passes = rises(log)  # where a critic that has come to see was blind, and no more
        row = lasting((times > CUT) & often & blind, 5, 6, share=0.0 if passes else 0.5)
        if row is None and not passes:
            row = lasting((times > CUT) & often, 5, 6, share=0.5)
        if row is None:
            return None
        evidence = f"gradients are {number(median(times[row:]))} times the clip in the median"
        if np.isfinite(median(clipped)):
            evidence += f", {number(100 * median(clipped[row:]))} % of the steps are cut"
        changes = [Change("ppo.normalize_returns", "true")]
        if log.setting("network.shared_encoder") is False:
            changes.append(Change("ppo.clip_gradients", "separate"))
        if log.setting("ppo.value_loss_unit") == "network":  # else it does not weigh the loss
            changes.append(Change("ppo.return_scale", "1.0"))
        changes += [
            Change("ppo.value_loss_weight", "0.01"),
            Change("network.shared_encoder", "false"),
            Change("ppo.max_grad_norm", "1.0", "only after these"),
        ]
        return self.found(log, row, evidence, changes, confidence=0.8)


def _explained(log: MetricsLog) -> Column:
    """What the critic explains of the largest variance so far, or of the batch's if that is more.

    Where a task is solved hardly any variance is left, and an error that is small explains none.
    """
    explained = log.get("explained_variance")
    if not log.has("return_std"):
        return explained
    left = (log.get("return_std") / return_scale(log)) ** 2
    return np.fmax(explained, 1 - (1 - explained) * left)
