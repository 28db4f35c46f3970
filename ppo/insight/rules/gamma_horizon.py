"""The discount looks much further, or much less far, than an episode lasts."""

from __future__ import annotations

import numpy as np

from ppo.core.figures import number, setting
from ppo.insight.logs.columns import as_last_written
from ppo.insight.logs.log import MetricsLog
from ppo.insight.rules import MILD, SEVERE, Change, Finding, Rule, rule
from ppo.insight.rules._returns import rises, settled
from ppo.insight.rules._signs import lasting, median

FAR, NEAR = 10.0, 0.1  # horizon 1 / (1 - gamma) over the mean length of an episode (J)
BLINK, LONGER = 3.0, 3.0  # steps of a horizon that hides what follows in episodes so much longer
SAME = 0.01  # spread of the last returns beside their size, in a task that is solved (J)
LONG = 20  # batches
BLIND = 0.3  # explained variance (J)
EXPLAINS = ("critic_blind", "loss_imbalance", "too_many_epochs", "entropy_coefficient_too_high")
OF_BLINK = (*EXPLAINS, "no_reward_signal", "learning_rate_too_low", "policy_collapse")


@rule("gamma_horizon")
class GammaHorizon(Rule):
    number = 25
    severity = MILD
    needs = (("mean_episode_length",),)
    explains = EXPLAINS
    sources = ("andyljones.com/posts/rl-debugging.html: smaller discount or longer chunks",)

    def _solved(self, log: MetricsLog) -> bool:
        """Whether the returns have come to one value: a limit that every episode reaches."""
        returns = log.returns()
        late = returns[-max(len(returns) // 4, 1) :]
        return settled(log) and bool(np.std(late) <= SAME * abs(np.median(late)))

    def check(self, log: MetricsLog) -> Finding | None:
        gamma = log.get("gamma")  # in force; it may follow the episodes
        gamma = np.where(np.isfinite(gamma), gamma, log.number("ppo.gamma"))
        if not ((gamma >= 0) & (gamma < 1)).all():
            return None
        horizon = 1 / (1 - gamma)
        length = as_last_written(log.get("mean_episode_length"))  # not in each batch one ends
        ratio = horizon / length
        wrong = ((ratio > FAR) | (ratio < NEAR)) & (log.get("explained_variance") < BLIND)
        if rises(log):
            wrong[:] = False
        blink = (horizon < BLINK) & (ratio < 1 / LONGER)  # such a critic sees, but no consequence
        if not self._solved(log):
            wrong |= blink
        row = lasting(wrong, LONG - 2, LONG)
        if len(log) < LONG and bool((wrong & blink).all()):
            row = 0  # settings need no time to show
        if row is None:
            return None
        mean = median(length[row:])
        evidence = f"horizon {number(median(horizon[row:]))} steps, episodes {number(mean)}"
        better = setting(1 - 1 / max(mean / 2, 2.0))
        change = [Change("ppo.gamma", better)]
        if blink[-1]:
            return self.found(log, row, evidence, change, 0.97, SEVERE, OF_BLINK)
        return self.found(log, row, evidence, change, confidence=0.4)
