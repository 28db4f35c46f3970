"""The policy stops exploring before it has found anything."""

from __future__ import annotations

import numpy as np

from ppo.core.figures import number, setting
from ppo.insight.logs.log import Column, MetricsLog
from ppo.insight.rules import SLOWER, Change, Finding, Rule, rule
from ppo.insight.rules._returns import (
    NARROW,
    SIGN,
    at_once,
    begins_late,
    falls,
    opposed,
    rises,
)
from ppo.insight.rules._signs import first_finite, known, median

COLLAPSED = 0.1  # relative entropy that a fast collapse passes (S: falls by 90 %)
GONE = 0.05  # relative entropy, or policy std over that of the start (J)
EARLY = 0.35  # of the run within which it falls (J)
SOON = 15  # batches, for runs that are still short
MOST = 0.6  # of that gain, where the rest came afterwards (J)
DONE = 0.85  # of the run's whole gain: a policy that is this far may be sure of itself (J)
SURE = 0.5  # of its spread, below which a policy was trained before the log begins (J)
OF_NARROW = (  # a policy that starts narrow makes every step a jump
    "learning_rate_too_high",
    "too_many_epochs",
    "gradients_always_clipped",  # those of a mean grow as 1 over its deviation
)


@rule("entropy_collapse")
class EntropyCollapse(Rule):
    number = 13
    needs = (("entropy_relative",), ("policy_std",))
    explains = (
        "policy_collapse", "no_reward_signal", "critic_blind", "learning_rate_too_low",
        "observations_unnormalized",
    )  # fmt: skip
    sources = ("andyljones.com/posts/rl-debugging.html: close to zero is collapsed",)

    def check(self, log: MetricsLog) -> Finding | None:
        spread = log.get("entropy_relative")
        what = "entropy"
        if not log.has("entropy_relative"):
            deviation = log.get("policy_std")
            _, values = known(deviation)
            if values[0] < NARROW and not begins_late(log):
                return self._report(log, 0, f"policy std {number(values[0])} from the start")
            spread, what = deviation / values[0], "policy std"
        rows = np.flatnonzero(spread < COLLAPSED)
        if not len(rows) or median(spread[-5:]) > GONE * 2:
            return None
        row = int(rows[0])
        unseen = begins_late(log) and first_finite(spread) < SURE
        if unseen and self._may_have_all(log):
            return None
        late = row > max(EARLY * len(log), SOON)
        if late and not self._sank(log) or self._succeeded(log, row, spread):
            return None
        fell, now = number(100 * spread[row]), number(100 * median(spread[-5:]))
        evidence = f"{what} fell to {fell} % of its maximum in {row + 1} batches, now {now} %"
        return self._report(log, row, evidence)

    def _may_have_all(self, log: MetricsLog) -> bool:
        """Whether the returns are a gain that lasts: maybe all that there is to win."""
        return median(log.returns()) > 0 and not falls(log)

    def _sank(self, log: MetricsLog) -> bool:
        """Whether the policy became sure of less than it began with, and never had much more."""
        if not falls(log):
            return False
        returns = log.returns()
        part = max(len(returns) // 6, 1)
        start, end = float(np.mean(returns[:part])), float(np.mean(returns[-part:]))
        return float(np.max(returns)) - start < start - end

    def _went_on(self, later: Column, log: MetricsLog) -> bool:
        """Whether the return rose after the fall, so that what is left of the spread sufficed."""
        part = MetricsLog(
            columns={"mean_episode_return": later},
            batches=np.arange(len(later), dtype=np.int64),
            writer=log.writer,
        )
        return rises(part)

    def _succeeded(self, log: MetricsLog, row: int, spread: Column) -> bool:
        """Whether the return had its gain when the policy became sure, and kept it: healthy."""
        rows, returns = known(log.get("mean_episode_return"))
        if len(returns) < 3:
            return log.writer != "ppo"  # what it has found is not seen
        if at_once(log):
            return True
        before = returns[rows <= row]
        if not len(before):
            return False
        best, start = float(np.max(returns)), float(returns[0])
        share = (float(before[-1]) - start) / (best - start) if best > start else 0.0
        enough = median(spread[-5:]) > GONE or share >= MOST
        if enough and self._went_on(returns[rows > row], log):
            return True
        if best <= start:
            return False
        had = share >= DONE
        kept = median(returns[-5:]) - start >= DONE / 2 * (best - start)
        return bool(had and kept)

    def _report(self, log: MetricsLog, row: int, evidence: str) -> Finding:
        coefficient = median(log.get("entropy_coefficient"))
        more = setting(max(10 * coefficient, 0.01)) if np.isfinite(coefficient) else "0.01"
        changes = [Change("ppo.entropy_coefficient", more), SLOWER]
        if not log.has("entropy_relative"):  # choices have no standard deviation
            wider = Change("network.initial_log_std", "0.0")
            changes.insert(len(changes) if row else 0, wider)  # first where it starts narrow
        if opposed(log):
            changes.insert(1, Change("", "", SIGN))
        if begins_late(log) and row == 0:  # what came before it is not seen
            return self.found(log, row, evidence, changes, confidence=0.55)
        if row:
            return self.found(log, row, evidence, changes)
        explained = (*self.explains, *OF_NARROW)
        return self.found(log, row, evidence, changes, confidence=0.95, explains=explained)
