"""Too few episodes end in a batch for its statistics to mean anything."""

from __future__ import annotations

import numpy as np

from ppo.core.figures import number
from ppo.insight.logs.log import MetricsLog
from ppo.insight.rules import MILD, SEVERE, Change, Finding, Rule, rule
from ppo.insight.rules._returns import ALIKE, rises
from ppo.insight.rules._signs import known, lasting, median

EPISODES = 5.0  # that end in a batch (J)
UNSTEADY = 0.3  # std of explained variance over ten batches (J)
WINDOW = 10
TINY = 64  # steps: less than a minibatch of any library (J)
OF_TINY = (
    "observations_unnormalized",
    "too_many_epochs",
    "entropy_collapse",
    "policy_collapse",
    "reward_scale_too_large",  # which estimates the critic's reach from the batch
    "reward_outlier",
)
CHANGES = (
    Change("ppo.num_steps", "", "four times as many steps a batch", times=4.0),
    Change("env.num_envs", "", "or as many more environments", times=4.0),
)


@rule("batch_too_small")
class BatchTooSmall(Rule):
    number = 26
    severity = MILD
    waits = 8
    needs = (
        ("mean_episode_length", "env_steps", "explained_variance"),
        ("env_steps", "approx_kl"),  # returns alone may be those of single episodes
    )
    explains = ("critic_blind", "learning_rate_too_high")
    sources = ("calibrated here",)

    def check(self, log: MetricsLog) -> Finding | None:
        steps = log.batch_steps()
        if median(steps) < TINY:
            evidence = f"{number(median(steps))} steps a batch"
            explained = (*self.explains, *OF_TINY)
            return self.found(log, 0, evidence, CHANGES, 0.7, SEVERE, explained)
        if len(log) < 2 * WINDOW:
            return None
        episodes = steps / log.get("mean_episode_length")
        variance = np.clip(log.get("explained_variance"), -1.0, 1.0)
        few = np.isfinite(episodes) & (episodes < EPISODES)
        row = lasting(few, WINDOW, WINDOW)
        recent = variance[-WINDOW:]
        _, returns = known(log.get("mean_episode_return")[-WINDOW:])
        if len(returns) and np.ptp(returns) < ALIKE * np.max(np.abs(returns)):
            return None  # nothing is left to explain, so that what is explained says nothing
        if row is None or rises(log) or np.isfinite(recent).sum() < WINDOW - 1:
            return None
        unsteady = float(np.nanstd(recent))
        if unsteady < UNSTEADY:
            return None
        evidence = f"{number(median(episodes[row:]))} episodes end in a batch, explained variance "
        evidence += f"moves by {number(unsteady)}"
        return self.found(log, row, evidence, CHANGES, confidence=0.4)
