"""Nothing moves: the policy is the same after each batch."""

from __future__ import annotations

import numpy as np

from ppo.core.figures import number, setting
from ppo.insight.logs.log import Column, MetricsLog
from ppo.insight.rules import MILD, SEVERE, Change, Finding, Rule, rule
from ppo.insight.rules._critic import stands
from ppo.insight.rules._policy import (
    FROZEN,
    NARROW_CLIP,
    ORDINARY_RATE,
    bottleneck,
    clip_range,
    one_step,
    present,
)
from ppo.insight.rules._returns import falls, leans, rises
from ppo.insight.rules._signs import known, lasting, median

KL = 1e-4  # J
CLIPPED = 0.005  # share of samples outside the clip (J)
LONG = 20  # batches
EARLY = 5  # batches that a rate far below the usual needs, if nothing moves (J)
STEADY = 2.0  # times by which that rate may have changed: a schedule's end is no fault (J)
UNIFORM = 0.95  # relative entropy (J)
UNMOVED = 0.05  # relative change of the policy's std (J)
HARDLY = 1e-3  # likewise over a log without KL: a rate of 1e-5 moves it ten times as far (M: 1e-4)
LEARNS = 0.8  # of its first loss, below which the critic moves (J)
TIGHT = 0.05  # a gradient clip a tenth of the usual: Adam's floor then shortens the steps (J)
HELD = 0.3  # share of samples outside a narrow clip that sets the pace (J)
CLIMBS = 0.1  # of the return's range, from the third quarter to the last (J)
PACE = 5e-4  # KL of a policy that is held there; an ordinary one moves ten times as far (J)
OF_LOW = (  # a rate this small explains the critic as well
    "reward_scale_too_large",
    "critic_blind",
    "value_loss_weight_too_small",
    "value_clip_too_tight",
    "entropy_coefficient_too_high",
    "no_reward_signal",
    "policy_collapse",
)


@rule("learning_rate_too_low")
class LearningRateTooLow(Rule):
    number = 12
    waits = EARLY
    needs = (("approx_kl",), ("policy_std", "value_loss"), ("learning_rate", "mean_episode_return"))
    sources = ("andyljones.com/posts/rl-debugging.html",)

    def check(self, log: MetricsLog) -> Finding | None:
        if bottleneck(log):
            return None  # it is the network that does not move
        if not log.has("approx_kl") or one_step(log):
            return self._by_rate(log) or self._hardly(log)
        kl, clipped = log.get("approx_kl"), log.get("clip_fraction")
        narrow = clip_range(log) < NARROW_CLIP  # it holds the policy, however often it is cut
        still = (np.abs(kl) < KL) & (narrow | ~(clipped > CLIPPED))
        row = self._early(log, kl) if len(log) < LONG else lasting(still, LONG - 2, LONG)
        if row is None or self._moved(log):
            return self._held(log) if narrow else None
        frozen = bool(median(np.abs(kl)) < FROZEN)
        if median(log.get("learning_rate")) > ORDINARY_RATE[1]:
            return None  # what does not move at such a rate was moved too far before
        if falls(log) or (rises(log) and not frozen):
            return self._held(log) if narrow else None
        rate = median(log.get("learning_rate"))
        idle = frozen and not np.isfinite(rate) and stands(log)
        low = rate < ORDINARY_RATE[0] or idle
        evidence = f"KL {number(median(kl[row:]))} a batch"
        evidence += "" if rises(log) else ", return flat"
        if np.isfinite(rate):
            evidence += f", learning rate {number(rate)}"
        evidence += ", the value error has not fallen" if idle else ""
        higher = "3e-4" if low or not np.isfinite(rate) else setting(3 * rate)
        limit = present(log, "ppo.max_grad_norm")
        check = Change("ppo.max_grad_norm", "", "check that gradients are not cut away")
        changes = [Change("ppo.learning_rate", higher), check]
        if frozen and not low and not stands(log):
            trained = "look whether the policy's parameters are trained: the critic's are"
            changes.insert(0, Change("", "", trained))
        if limit < TIGHT:
            cut = f"gradients are cut at {number(limit)}"
            changes = [Change("ppo.max_grad_norm", "0.5", cut), changes[0]]
        if narrow:
            changes.insert(0, self._wider(log))
        sure = 0.97 if low or narrow else 0.5
        held = ("no_reward_signal",) if narrow else ()  # it comes to no reward that is seldom
        return self.found(log, row, evidence, changes, sure, explains=OF_LOW if low else held)

    def _wider(self, log: MetricsLog) -> Change:
        return Change("ppo.clip_epsilon", "0.2", f"the clip range is {number(clip_range(log))}")

    def _held(self, log: MetricsLog) -> Finding | None:
        """A clip so narrow that most samples leave it at once: the return creeps, if it rises."""
        kl, clipped = log.get("approx_kl"), log.get("clip_fraction")
        few = LONG // 2  # a setting needs no time to show
        held = (clipped > HELD) & (np.abs(kl) < PACE) | (np.abs(kl) < KL) & (clipped > CLIPPED)
        row = lasting(held, few - 2, few)
        if row is None or (rises(log) and not self._climbs(log)):
            return None
        share, moves = number(100 * median(clipped[row:])), number(median(kl[row:]))
        evidence = f"{share} % of the samples leave the clip, though KL is {moves} a batch: "
        evidence += "the clip sets the pace"
        severity = MILD if rises(log) else SEVERE
        return self.found(log, row, evidence, [self._wider(log)], 0.6, severity)

    def _climbs(self, log: MetricsLog) -> bool:
        """Whether a return that rises is on its way still."""
        returns = log.returns()
        quarter = len(returns) // 4
        step = np.mean(returns[-quarter:]) - np.mean(returns[-2 * quarter : -quarter])
        return bool(step > CLIMBS * np.ptp(returns))

    def _by_rate(self, log: MetricsLog) -> Finding | None:
        """Without KL: a rate that is never in the common range, beside a return that stands."""
        rows, rates = known(log.get("learning_rate"))
        returns = log.returns()
        low = len(rates) > 0 and 0 < rates.max() < ORDINARY_RATE[0]
        if not low or len(returns) < LONG // 2 or leans(log) or falls(log):
            return None
        evidence = f"learning rate {number(median(rates))}, and the return does not rise"
        return self.found(log, int(rows[0]), evidence, [Change("ppo.learning_rate", "3e-4")], 0.6)

    def _hardly(self, log: MetricsLog) -> Finding | None:
        """Without KL: neither the spread of a policy that learns it nor the critic's loss moves."""
        rows, deviation = known(log.get("policy_std"))
        _, losses = known(log.get("value_loss"))
        if min(len(deviation), len(losses)) < LONG or rises(log) or falls(log):
            return None
        moved = float(np.max(np.abs(deviation / deviation[0] - 1)))
        if not 0 < moved < HARDLY or median(losses[-5:]) < LEARNS * median(losses[:5]):
            return None  # one that does not move at all is not learned
        evidence = f"policy std moved by {number(100 * moved)} % in {len(deviation)} batches"
        evidence += ", the value loss has not fallen, return flat"
        rate = median(log.get("learning_rate"))
        higher = "3e-4" if not rate > ORDINARY_RATE[0] else setting(3 * rate)
        changes = [Change("ppo.learning_rate", higher)]
        return self.found(log, int(rows[0]), evidence, changes, confidence=0.6)

    def _early(self, log: MetricsLog, kl: Column) -> int | None:
        """The first row, where the rate is logged, constant and so low that nothing moves."""
        _, rates = known(log.get("learning_rate"))
        rows, moves = known(np.abs(kl))
        few = len(rows) < EARLY - 1 or not len(rates)  # the last batch's may not be written yet
        if few or rates.max() >= ORDINARY_RATE[0] or rates.max() > STEADY * rates.min():
            return None
        return int(rows[0]) if bool((moves < FROZEN).all()) else None

    def _moved(self, log: MetricsLog) -> bool:
        entropy = log.get("entropy_relative")
        if log.has("entropy_relative"):
            return bool(median(entropy[-5:]) < UNIFORM)
        _, deviation = known(log.get("policy_std"))
        if len(deviation):
            return bool(abs(median(deviation[-5:]) / deviation[0] - 1) > UNMOVED)
        return False
