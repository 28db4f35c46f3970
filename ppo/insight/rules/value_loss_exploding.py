"""The critic diverges, while the returns themselves do not grow."""

from __future__ import annotations

import numpy as np

from ppo.core.figures import number
from ppo.insight.logs.log import MetricsLog
from ppo.insight.rules import SLOWER, Change, Finding, Rule, rule
from ppo.insight.rules._critic import return_scale, trifling
from ppo.insight.rules._returns import rises
from ppo.insight.rules._signs import known, median

ERROR = 3.0  # root error over the largest std of the returns so far (J)
GROWS = 5  # batches in a row, not counting single dips
TIMES = 5.0  # growth of the value loss (J; a documented case: 36k -> 212k in ten batches)
RETURNS = 1.5  # growth of the returns' std that would explain it (S: PantheonRL #5)
WINDOW = 10  # batches over which the growth is measured
CHANGES = (Change("ppo.normalize_returns", "true"), SLOWER, Change("ppo.value_loss_weight", "0.1"))


@rule("value_loss_exploding")
class ValueLossExploding(Rule):
    number = 20
    waits = WINDOW
    needs = (
        ("error_over_std",),
        ("value_loss", "return_std"),
        ("value_rmse", "mean_episode_return"),
    )
    explains = (
        "critic_blind", "gradients_always_clipped", "policy_collapse", "value_loss_dominates",
    )  # fmt: skip
    sources = ("PantheonRL #5: a rise with the reward is normal",)

    def check(self, log: MetricsLog) -> Finding | None:
        return self._by_error(log) or self._by_growth(log)

    def _by_error(self, log: MetricsLog) -> Finding | None:
        error = log.get("error_over_std")
        if log.has("value_rmse", "return_std"):
            error = log.get("value_rmse") / return_scale(log)
        rows, error = known(error)
        if len(error) < GROWS + 1 or median(error[-3:]) < ERROR:
            return None
        recent = error[-GROWS - 1 :]
        if not ((np.diff(recent) > 0).sum() >= GROWS - 1 and recent[-1] > 1.5 * recent[0]):
            return None
        row = int(rows[np.flatnonzero(error > ERROR)[0]])
        course = f"{number(recent[0])} -> {number(recent[-1])}"
        evidence = f"error {course} standard deviations of the return"
        return self.found(log, row, evidence, CHANGES, confidence=0.8)

    def _by_growth(self, log: MetricsLog) -> Finding | None:
        """Growth of the raw error within WINDOW batches, beyond all that was before."""
        loss = log.get("value_rmse") ** 2 if log.has("value_rmse") else log.get("value_loss")
        rows, loss = known(loss)
        if len(loss) < WINDOW + 3:
            return None
        before, now = float(np.max(loss[:-WINDOW])), median(loss[-3:])
        if not before > 0 or now < TIMES * before:
            return None
        if not log.has("return_std") and (rises(log) or trifling(log, float(np.sqrt(now)))):
            return None  # it grows with the return
        size = log.get("mean_episode_return")  # where their deviation is not logged
        _, spread = known(log.get("return_std") if log.has("return_std") else np.abs(size))
        if len(spread) < WINDOW + 3:
            return None
        wider = median(spread[-3:]) / max(median(spread[-WINDOW - 3 : -WINDOW]), 1e-300)
        if wider > RETURNS:
            return None
        evidence = f"value loss x{number(now / before)} in {WINDOW} batches"
        evidence += f", returns x{number(wider)}"
        return self.found(log, int(rows[-WINDOW]), evidence, CHANGES, confidence=0.6)
