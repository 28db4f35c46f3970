"""The value clip, not the data, sets the critic's pace."""

from __future__ import annotations

import numpy as np

from ppo.core.figures import number
from ppo.insight.logs.log import MetricsLog
from ppo.insight.rules import Change, Finding, Rule, rule
from ppo.insight.rules._critic import alike, normalizes_returns, return_scale
from ppo.insight.rules._returns import begins_late, rises, settled
from ppo.insight.rules._signs import lasting, median
from ppo.insight.rules._solved import solved

BLOCKED = 0.3  # share of samples without a value gradient (M: sick 0.86 to 0.98, healthy to 0)
BLIND = 0.5  # explained variance (J)
NOTHING = 0.1  # likewise, of a clip that the worse of two losses lets through (M: healthy to 0.05)
NEAR = 0.25  # root error over the largest std of the returns so far (J)
LONG = 12  # batches before a width is judged by the error alone
NARROW = 0.05  # width over root error: twenty batches to close the gap (J)


@rule("value_clip_too_tight")
class ValueClipTooTight(Rule):
    number = 7
    needs = (("value_clip_fraction",), ("value_rmse",))
    explains = ("critic_blind", "value_loss_weight_too_small", "value_loss_dominates")
    sources = ("RLlib: mean reward against vf_clip_param", "Stable-Baselines3: clip_range_vf")

    def check(self, log: MetricsLog) -> Finding | None:
        # A solved task leaves next to no variance to explain: errors count in units of the run.
        near = log.get("value_rmse") < NEAR * return_scale(log)
        blind = (log.get("explained_variance") < BLIND) & ~near & ~alike(log)
        blocked = log.get("value_clip_fraction")
        row = lasting((blocked > BLOCKED) & blind, 8, 10, share=0.3)
        if row is not None and not settled(log) and not solved(log):
            held = number(100 * median(blocked[row:]))
            variance = number(median(log.get("explained_variance")[row:]))
            evidence = f"{held} % of the samples blocked, explained variance {variance}"
            return self.found(log, row, evidence, self._changes(log), confidence=0.9)
        return self._by_width(log, blind)

    def _by_width(self, log: MetricsLog, blind: np.ndarray) -> Finding | None:
        """Without a blocked fraction: an absolute width that cannot cross the error in this run."""
        width = log.number("ppo.value_clip_epsilon")
        absolute = log.setting("ppo.value_clip") == "absolute"
        if len(log) < LONG or not absolute or not width > 0 or normalizes_returns(log):
            return None
        error = log.get("value_rmse")
        batches = error / width
        never = batches > max(1 / NARROW, log.updates())
        plain = log.writer == "stable-baselines3"  # the form that cannot come back
        if not log.has("explained_variance"):
            blind = np.ones(len(log), dtype=bool)
        elif not plain:  # one that comes to see, however slowly, has another trouble
            blind &= log.get("explained_variance") < NOTHING
        row = lasting(never & blind, 5, 6, share=0.3)
        if row is None or (not plain and (rises(log) or begins_late(log))):
            return None
        evidence = f"clip width {number(width)} against an error of {number(median(error[row:]))}"
        evidence += f": {number(median(batches[row:]))} batches to close it"
        return self.found(log, row, evidence, self._changes(log), confidence=0.85)

    def _changes(self, log: MetricsLog) -> list[Change]:
        if log.writer != "ppo":
            return [Change("ppo.value_clip", "none"), Change("ppo.normalize_returns", "true")]
        return [
            Change("ppo.value_clip", "none"),
            Change("ppo.value_clip", "sigma", "with ppo.value_clip_epsilon=0.2"),
            Change("ppo.value_clip_floor", "1.0", "for the relative clip"),
        ]
