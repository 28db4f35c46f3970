"""The policy jumps further in a batch than its clip was meant to allow."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ppo.core.figures import number, setting
from ppo.insight.logs.log import Column, MetricsLog
from ppo.insight.rules import MILD, SEVERE, SLOWER, Change, Finding, Rule, rule
from ppo.insight.rules._policy import NARROW_CLIP, ORDINARY_RATE, clip_range, one_step
from ppo.insight.rules._returns import begins_late, leans, rises
from ppo.insight.rules._signs import known, lasting, median, onset
from ppo.insight.rules._solved import keeps

KL = 0.05  # k3 estimate, last epoch (S: "stays below 0.02"; adaptive rules act at 0.02)
TARGETS = 4.0  # times the target KL (J)
CLIPPED = 0.4  # share of samples outside the clip (J)
DEAD = 1e-5  # KL of a policy that does not move any more (J)
COLLAPSED = 0.1  # relative entropy, as in entropy_collapse (J)
LONG = 5  # batches of that
GROWTH = 5.0  # KL of the last epoch over the first, as in too_many_epochs (J)
VIOLENT = 0.2  # KL that no ordinary setting gives (M: 0.3 to 36 at rates of 0.02 to 0.05)
LEAP = 1.0  # KL of a single batch that leaves nothing of the policy (J)
RECKLESS = 1e-2  # learning rate, where neither KL nor clip fraction is logged (J)
USUAL = 3e-4  # learning rate (S: Stable-Baselines3)
EARLY = 10  # batches within which a rate far above the usual shows itself


@rule("learning_rate_too_high")
class LearningRateTooHigh(Rule):
    number = 10
    needs = (("approx_kl",), ("clip_fraction",), ("learning_rate", "mean_episode_return"))
    explains = (
        "too_many_epochs", "entropy_collapse", "entropy_coefficient_too_high", "critic_blind",
        "policy_collapse", "value_loss_exploding", "no_reward_signal", "dead_units",
        "observations_unnormalized", "learning_rate_too_low", "actions_out_of_bounds",
        "time_limit_as_failure",
    )  # fmt: skip
    sources = ("The 37 Implementation Details of PPO", "Stable-Baselines3: stop at 1.5 target_kl")

    def check(self, log: MetricsLog) -> Finding | None:
        if one_step(log) or not (log.has("approx_kl") or log.has("clip_fraction")):
            return self._by_rate(log)
        kl, clipped = log.get("approx_kl"), log.get("clip_fraction")
        last = log.get("approx_kl_last_epoch")
        kl = np.where(np.isfinite(last), last, kl)
        target = log.number("ppo.target_kl")
        limit = KL if not np.isfinite(target) else max(KL, TARGETS * target)
        wide = not clip_range(log) < NARROW_CLIP  # else small steps leave it too
        jumps = (kl > limit) | ((clipped > CLIPPED) & wide)
        row = lasting(jumps, 3, 5, share=0.2)
        rate = median(log.get("learning_rate"))
        high = bool(rate > ORDINARY_RATE[1])
        if row is None and high:
            row = onset(jumps[:EARLY], 2, 5)
        leaps = kl > LEAP
        lost = not (rises(log) or keeps(log)) or rises(log) and self._hurts(log, leaps)
        if row is None and lost:  # one leap may end it all
            leaps[EARLY:] &= log.get("learning_rate")[EARLY:] > ORDINARY_RATE[1]
            row = onset(leaps, 1, 1)
        if row is None:
            return self._dead(log, kl, rate) if high else None
        then = median(log.get("learning_rate")[jumps])  # it may be another as a rule
        rate = then if np.isfinite(then) else rate
        fast = bool(rate > ORDINARY_RATE[1])
        high |= fast and (not rises(log) or self._hurts(log, leaps))
        leapt = bool((kl[:EARLY] > LEAP).any()) and not rises(log)
        violent = leapt or bool(np.nanquantile(np.where(np.isfinite(kl), kl, 0.0), 0.8) > VIOLENT)
        evidence = f"KL {number(median(kl[jumps]))} in {int(jumps.sum())} of {len(log)} batches"
        if np.isfinite(share := median(clipped[jumps])):
            evidence += f", clip fraction {number(share)}"
        if np.isfinite(rate):
            evidence += f", learning rate {number(rate)}"
        sure = high or violent
        unseen = log.writer != "ppo" and not log.has("mean_episode_return")
        if not sure and (rises(log) or leans(log) or unseen):
            return None
        if not high and self._grows_by_epochs(log, jumps):
            return None
        severity = SEVERE if sure else MILD
        return self.found(log, row, evidence, self._changes(fast), 0.9 if sure else 0.5, severity)

    def _hurts(self, log: MetricsLog, leaps: NDArray[np.bool_]) -> bool:
        """Whether the returns after a leap are below those before it, however much they rose."""
        returns, at = log.get("mean_episode_return"), int(np.argmax(leaps))
        return bool(leaps.any() and median(returns[at + 1 :]) < median(returns[: at + 1][-EARLY:]))

    def _changes(self, fast: bool) -> list[Change]:
        return [
            Change("ppo.learning_rate", setting(USUAL)) if fast else SLOWER,
            Change("ppo.target_kl", "0.01", "stops a batch's updates early"),
            Change("ppo.num_epochs", "", "half as many epochs", times=0.5),
        ]

    def _by_rate(self, log: MetricsLog) -> Finding | None:
        """A log of neither KL nor clip fraction: a rate that hardly any policy survives."""
        rows, rates = known(log.get("learning_rate"))
        returns = log.returns()
        rate = median(rates)
        if not rate > RECKLESS or len(returns) < EARLY or not np.ptp(returns) or leans(log):
            return None
        evidence = f"learning rate {number(rate)}, {number(rate / USUAL)} times the usual"
        evidence += ", and the return does not rise"
        return self.found(log, int(rows[0]), evidence, self._changes(fast=True), 0.6)

    def _dead(self, log: MetricsLog, kl: Column, rate: float) -> Finding | None:
        """A log that begins after the jumps: nothing moves at such a rate; returns differ."""
        rows, moves = known(np.abs(kl))
        returns = log.returns()
        moved = bool((moves > DEAD).any()) or bool((log.get("clip_fraction") > 0).any())
        sure = median(log.get("entropy_relative")[-LONG:]) < COLLAPSED and begins_late(log)
        if len(moves) < LONG or (moved and not sure) or rises(log):
            return None
        if not len(returns) or not np.ptp(returns):
            return None
        evidence = f"no batch moves the policy at a learning rate of {number(rate)}: it is stuck"
        if moved:
            evidence = f"sure of itself where the log begins, at a learning rate of {number(rate)}"
        return self.found(log, int(rows[0]), evidence, self._changes(fast=True), 0.6)

    def _grows_by_epochs(self, log: MetricsLog, jumps: NDArray[np.bool_]) -> bool:
        """Whether the first epochs are moderate: not the step is too large, there are too many."""
        if not log.has("approx_kl_first_epoch", "approx_kl_last_epoch"):
            return False
        first = median(log.get("approx_kl_first_epoch")[jumps])
        last = median(log.get("approx_kl_last_epoch")[jumps])
        return bool(first < KL and last > GROWTH * first)
