"""One transition owns the batch: a reward far outside all others."""

from __future__ import annotations

import numpy as np

from ppo.core.figures import number
from ppo.insight.logs.log import MetricsLog
from ppo.insight.rules import MILD, SEVERE, Change, Finding, Rule, rule
from ppo.insight.rules._critic import trifling
from ppo.insight.rules._returns import LAST, rises
from ppo.insight.rules._signs import HISTORY, known, median, spikes

ROBUST_SIGMAS = 1e3  # of the rewards' interquartile scale (J; threads: 1e5)
ABOVE = 3.0  # times the usual spread, that of later batches too (J)
SOME = 0.01  # of the mean return, that the spread must be (J)
FAR = 10.0  # times as far up as down (J)
WON = 5.0  # times that spread, by which the return of a goal that is learned rises (J)


@rule("reward_outlier")
class RewardOutlier(Rule):
    number = 2
    severity = SEVERE
    needs = (("reward_outlier",), ("return_std",), ("value_rmse",))
    explains = (
        "reward_scale_too_large", "gradients_always_clipped", "value_loss_dominates",
        "value_loss_exploding", "frame_lag", "policy_collapse", "critic_blind",
    )  # fmt: skip
    sources = ("unitree_rl_lab #13", "IsaacLab PR #2019")

    def check(self, log: MetricsLog) -> Finding | None:
        scale = log.get("return_std") if log.has("return_std") else log.get("value_rmse")
        rows = spikes(scale)
        outlier = log.get("reward_outlier")
        if log.has("reward_outlier"):
            rows = [row for row in rows if not outlier[row] < ROBUST_SIGMAS]
        size = np.abs(log.get("return_mean"))  # of a solved task: next to nothing is no outlier
        usual = median(np.delete(scale, rows))
        rows = [r for r in rows if scale[r] > ABOVE * usual and not scale[r] < SOME * size[r]]
        if not log.has("return_std"):
            rows = [row for row in rows if not trifling(log, float(scale[row]))]
        if not rows or self._is_learned(log, rows[0], float(scale[rows[0]])):
            return None
        row = rows[0]
        what = "return deviation" if log.has("return_std") else "root of the value loss"
        evidence = f"{what} {number(scale[row])} in batch {log.batch(row)}"
        evidence += f", {number(usual)} as a rule"
        if np.isfinite(outlier[row]):
            evidence += f"; a reward {number(outlier[row])} robust standard deviations off"
        if len(rows) > 1:
            evidence += f"; {len(rows)} such batches"
        if self._is_gain(log, row):  # a goal, or a fault of the simulation
            either = [
                Change("ppo.num_steps", "", "four times, if that reward is the goal's", times=4.0),
                Change("", "", "end the episode where it is a fault of the simulation"),
            ]
            return self.found(log, row, evidence, either, confidence=0.5, severity=MILD)
        changes = [
            Change("", "", "bound the actions, or end the episode where the simulation breaks"),
            Change("", "", "clip that reward at its 99.9th percentile"),
            Change("ppo.normalize_returns", "true"),
        ]
        return self.found(log, row, evidence, changes, confidence=0.9)

    def _is_learned(self, log: MetricsLog, row: int, size: float) -> bool:
        """Whether the return rose by far more since: a goal was found, and then again."""
        returns = log.get("mean_episode_return")
        won = median(returns[-LAST:]) - median(returns[: row + 1])
        return rises(log) and won > WON * size

    def _is_gain(self, log: MetricsLog, row: int) -> bool:
        """Whether the returns of a batch reach far up, and not down; or that of its episodes does,
        as never before."""
        high, low = log.get("return_max")[row], log.get("return_min")[row]
        _, returns = known(log.get("mean_episode_return")[: row + 1])
        moves = np.diff(returns)
        up = len(moves) > HISTORY and moves[-1] > ABOVE * np.max(np.abs(moves[:-1]))
        return bool(up if np.isnan(high) else high > 0 and high > FAR * abs(min(low, 0.0)))
