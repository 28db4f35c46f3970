"""The policy leaves its clip only in the later epochs: one batch is overfitted."""

from __future__ import annotations

import numpy as np

from ppo.core.figures import number
from ppo.insight.logs.log import MetricsLog
from ppo.insight.rules import MILD, SEVERE, Change, Finding, Rule, rule
from ppo.insight.rules._policy import ordinary_rate
from ppo.insight.rules._returns import rises
from ppo.insight.rules._signs import lasting, median

GROWTH = 5.0  # KL of the last epoch over the first (J)
CLIPPED = 0.2  # share of samples outside the clip, over all epochs (J)
LEAST_KL = 0.02  # of the last epoch; below it the growth does no harm (S)
STOPPED = 2.0  # times target_kl, below which the stop that it sets works (J)
MANY = 20  # epochs, where the log has them (J)
FAR_TOO_MANY = 40  # epochs from which on a smaller KL is evidence enough (J)
KL = 0.03  # of a log that has no KL by epoch (J)
FAST_CRITIC = 0.35  # root error after over before the first batch: fitted within one batch (M)


@rule("too_many_epochs")
class TooManyEpochs(Rule):
    number = 11
    needs = (("approx_kl_first_epoch", "approx_kl_last_epoch"), ("approx_kl", "clip_fraction"))
    explains = (
        "critic_blind", "critic_overfits", "learning_rate_too_high", "entropy_collapse",
        "observations_unnormalized", "policy_collapse",
    )  # fmt: skip
    sources = ("baselines #975", "No Representation, No Trust (2024)")

    def check(self, log: MetricsLog) -> Finding | None:
        first, last = log.get("approx_kl_first_epoch"), log.get("approx_kl_last_epoch")
        clipped = log.get("clip_fraction")
        if log.has("approx_kl_first_epoch", "approx_kl_last_epoch"):
            target = log.number("ppo.target_kl")
            least = max(LEAST_KL, STOPPED * target) if np.isfinite(target) else LEAST_KL
            grows = (last > GROWTH * first) & (last > least) & (clipped > CLIPPED)
            row = lasting(grows, 4, 6, share=0.3)
            if row is None or not ordinary_rate(log):
                return None
            times = median((last / first)[row:])
            end = number(median(last[row:]))
            evidence = f"KL grows {number(times)} times from first to last epoch, to {end}"
            return self.found(log, row, evidence, self._changes(log), 0.8, SEVERE)
        return self._without_epochs(log)

    def _without_epochs(self, log: MetricsLog) -> Finding | None:
        """A log without KL by epoch: an ordinary rate, a KL too high, a critic fitted at once."""
        kl, clipped = log.get("approx_kl"), log.get("clip_fraction")
        epochs = log.number("ppo.num_epochs")
        told = epochs >= MANY
        limit = KL * (max(FAR_TOO_MANY / epochs, 0.5) if epochs > FAR_TOO_MANY else 1.0)
        row = lasting((kl > limit) & (clipped > CLIPPED * 0.75), 3, 5, share=0.2)
        if row is None or not ordinary_rate(log) or epochs < MANY:
            return None
        error = log.get("value_rmse")
        finite = error[np.isfinite(error)]
        fitted = len(finite) > 2 and finite[1] < FAST_CRITIC * finite[0]
        if not told and (not fitted or rises(log)):
            return None  # a guess, and scaled rewards are fitted at once in healthy runs
        evidence = f"KL {number(median(kl[row:]))} at an ordinary learning rate"
        evidence += f", {number(epochs)} epochs" if told else ", the critic fits a batch at once"
        return self.found(log, row, evidence, self._changes(log), 0.6, SEVERE if told else MILD)

    def _changes(self, log: MetricsLog) -> list[Change]:
        epochs = log.number("ppo.num_epochs")
        fewer = str(int(max(epochs // 2, 1))) if np.isfinite(epochs) and epochs < 40 else "10"
        return [
            Change("ppo.num_epochs", fewer),
            Change("ppo.target_kl", "0.01", "stops a batch's updates early"),
            Change("ppo.num_minibatches", "", "larger minibatches"),
        ]
