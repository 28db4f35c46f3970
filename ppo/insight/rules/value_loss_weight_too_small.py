"""The critic is starved: its loss weighs next to nothing."""

from __future__ import annotations

import numpy as np

from ppo.core.figures import number
from ppo.insight.logs.log import MetricsLog
from ppo.insight.rules import Change, Finding, Rule, rule
from ppo.insight.rules._critic import stands, value_weight
from ppo.insight.rules._signs import lasting, median

WEIGHT = 0.01  # value loss weight x return_scale^2 (J)
NOTHING = 1e-3  # a weight that total losses imply, where none is logged
FITS = 0.02  # explained variance after minus before the update (J)
BLIND = 0.1  # explained variance
RATHER = 0.1  # value loss, beside which a bonus is little, if the critic learns nothing (J)
DRIFTS = 0.3  # explained variance that a critic without any weight may drift to (J)


@rule("value_loss_weight_too_small")
class ValueLossWeightTooSmall(Rule):
    number = 22
    waits = 8
    needs = (("explained_variance", "value_loss"),)
    explains = ("critic_blind", "reward_scale_too_large", "value_clip_too_tight", "frame_lag")
    sources = ("calibrated here",)

    def check(self, log: MetricsLog) -> Finding | None:
        weight, limit = value_weight(log), WEIGHT if log.has("value_loss_weight") else NOTHING
        if np.isfinite(implied := self._implied(log)):
            weight, limit = implied, WEIGHT
        scale = log.number("ppo.return_scale")
        scaled = log.setting("ppo.normalize_returns") is True and np.isfinite(scale)
        share = weight * scale**2 if scaled else weight
        if log.has("effective_value_weight"):
            share = median(log.get("effective_value_weight"))
        if not abs(share) < limit:
            return None
        variance = log.get("explained_variance")
        still = ~(log.get("explained_variance_after") - variance > FITS)
        # A weight of next to nothing needs no such proof: Adam moves the last layer all the same.
        starved = still | (abs(share) < NOTHING)
        blind = BLIND if abs(share) > NOTHING else DRIFTS
        row = lasting((variance < blind) & starved, 7, 8)
        if row is None:
            return None
        evidence = f"the value loss weighs about {number(abs(share))}"
        evidence += f", explained variance {number(median(variance[row:]))}"
        changes = [
            Change("ppo.value_loss_weight", "0.25" if log.writer == "ppo" else "0.5"),
            Change("ppo.num_epochs", "", "more epochs for the critic", times=2.0),
        ]
        # A critic of chance hides the way to a reward that is seldom.
        hidden = ("no_reward_signal",) if stands(log) else ()
        return self.found(log, row, evidence, changes, explains=(*self.explains, *hidden))

    def _implied(self, log: MetricsLog) -> float:
        """The weight that total losses imply of returns that are normalized, whose value loss is
        small: told only of a critic that is worse than the mean and does not learn it."""
        told = log.has("value_loss_weight") or np.isfinite(log.number("ppo.value_loss_weight"))
        if told or not log.has("last_minibatch_loss", "policy_loss") or not stands(log):
            return float("nan")
        loss = log.get("value_loss")
        share = (log.get("last_minibatch_loss") - log.get("policy_loss")) / loss
        worse = median(log.get("explained_variance")) < 0
        return median(share[loss > RATHER]) if worse else float("nan")
