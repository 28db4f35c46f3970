"""Absolute floors and bonuses drown small rewards."""

from __future__ import annotations

import numpy as np

from ppo.core.figures import number, setting
from ppo.insight.logs.log import MetricsLog
from ppo.insight.rules import Change, Finding, Rule, rule
from ppo.insight.rules._critic import normalizes_returns
from ppo.insight.rules._returns import rises
from ppo.insight.rules._signs import lasting, median

SMALL = 1e-2  # std of returns that floors such as 1e-4 under a root already bend (S); a unit
BONUS = 0.5  # entropy bonus over the std of raw advantages (J)


@rule("reward_scale_too_small")
class RewardScaleTooSmall(Rule):
    number = 6
    needs = (("return_std",), ("mean_episode_return", "explained_variance"))
    explains = ("observations_unnormalized", "entropy_coefficient_too_high", "critic_blind")
    sources = ("floors of 1e-4 to 1 in the return normalizers of Gymnasium, DreamerV3, MAPPO",)

    def check(self, log: MetricsLog) -> Finding | None:
        if normalizes_returns(log) is not False or rises(log):
            return None
        told = log.has("return_std")
        spread = log.get("return_std")
        if not told:  # the largest mean return: that of rare rewards is a few times the usual
            spread = np.full(len(log), np.max(np.abs(log.returns())))
        small = (spread < SMALL) & (spread > 0)
        blind = ~(log.get("explained_variance") > 0.5)
        row = lasting(small & blind, 8, 10)
        if row is None:
            return None
        size = number(median(spread[row:]))
        evidence = f"returns differ by {size} only" if told else f"an episode brings {size} at most"
        bonus = np.abs(log.get("entropy_coefficient") * log.get("entropy"))
        share = median(bonus[row:]) / max(median(spread[row:]), 1e-300)
        if share > BONUS:
            evidence += f", the entropy bonus is {number(share)} times that"
        changes = [
            Change("ppo.normalize_returns", "true"),
            Change("env.reward_scale", setting(1 / max(median(spread[row:]), 1e-300))),
        ]
        return self.found(log, row, evidence, changes, confidence=0.6)
