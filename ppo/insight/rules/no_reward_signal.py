"""The returns never differ, so that there is nothing to learn from."""

from __future__ import annotations

import numpy as np

from ppo.insight.logs.log import MetricsLog
from ppo.insight.rules import (
    RULES,
    Change,
    Finding,
    Rule,
    first_finite,
    known,
    number,
    onset,
    rises,
)

LONG = 10  # batches (J)
ZERO_SHARE = 0.999  # of the rewards (J)
SAME = 0.01  # of its size, by which the mean episode return may differ (J)
SAME_SHARE = 0.9  # of the batches from the start on
FLAT = 1e-9  # return deviation, as a share of the largest return
LEARNED_AWAY = 0.01  # of its first root error: the critic has learned that there is nothing
COLLAPSED = 0.1  # relative entropy below which the lack of reward may be a consequence


@RULES.register("no_reward_signal")
class NoRewardSignal(Rule):
    illness = "no_reward_signal"
    number = 3
    waits = LONG
    needs = (("return_std",), ("mean_episode_return",), ("reward_zero_share",))
    explains = (
        "learning_rate_too_low",
        "entropy_coefficient_too_high",
        "critic_blind",
        "critic_overfits",
        "reward_scale_too_small",
        "advantage_noise",
        "batch_too_small",
        "gamma_horizon",
        "loss_imbalance",
        "time_limit_as_failure",
    )
    sources = ("Stable-Baselines3 #816",)

    def check(self, log: MetricsLog) -> Finding | None:
        row = self._by_rewards(log)
        evidence = "rewards are zero and returns have no spread"
        if row is None:
            row = self._by_returns(log)
            returns = first_finite(log.get("mean_episode_return"))
            count = int(np.isfinite(log.get("mean_episode_return")).sum())
            evidence = f"mean episode return stays at {number(returns)} in {count} batches"
        if row is None or self._collapsed_first(log):
            return None
        changes = [
            Change("", "", "shape the reward, or start episodes nearer to the goal"),
            Change("ppo.entropy_coefficient", "0.01", "more exploration"),
            Change("ppo.num_steps", "", "four times as many steps a batch"),
        ]
        return self.found(log, row, evidence, changes, confidence=0.85)

    def _by_rewards(self, log: MetricsLog) -> int | None:
        if not log.has("return_std"):
            return None
        largest = np.maximum(np.abs(log.get("return_max")), np.abs(log.get("return_min")))
        size = np.where(np.isfinite(largest), largest, 0.0)
        silent = log.get("return_std") <= FLAT * size
        if log.has("reward_zero_share"):
            silent |= log.get("reward_zero_share") > ZERO_SHARE
            silent &= log.get("return_std") <= np.nanmax(log.get("return_std")) * SAME
        row = onset(silent, LONG, LONG)
        still = row is not None and bool(silent[-LONG:].all())
        return row if still and not rises(log) else None

    def _by_returns(self, log: MetricsLog) -> int | None:
        rows, returns = known(log.get("mean_episode_return"))
        if len(returns) < LONG or rises(log):
            return None
        same = np.abs(returns - returns[0]) <= SAME * abs(returns[0])
        if returns[0] == 0:
            same = returns == 0
        if same.mean() >= SAME_SHARE:
            return int(rows[0])
        _, errors = known(log.get("value_rmse"))
        forgotten = len(errors) > 0 and errors[-1] < LEARNED_AWAY * errors[0]
        return int(rows[0]) if forgotten and same.mean() >= 0.5 and same[-1] else None

    def _collapsed_first(self, log: MetricsLog) -> bool:
        early = log.get("entropy_relative")[: max(len(log) // 3, LONG)]
        return bool((early < COLLAPSED).any())
