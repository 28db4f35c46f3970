"""Too few episodes end in a batch for its statistics to mean anything."""

from __future__ import annotations

import numpy as np

from ppo.insight.logs.log import MetricsLog
from ppo.insight.rules import MILD, RULES, Change, Finding, Rule, lasting, median, number, rises

EPISODES = 5.0  # that end in a batch (J)
UNSTEADY = 0.3  # deviation of explained variance over ten batches (J)
WINDOW = 10


@RULES.register("batch_too_small")
class BatchTooSmall(Rule):
    illness = "batch_too_small"
    number = 27
    severity = MILD
    waits = 2 * WINDOW
    needs = (("mean_episode_length", "env_steps", "explained_variance"),)
    explains = ("critic_blind", "learning_rate_too_high")
    sources = ("calibrated here",)

    def check(self, log: MetricsLog) -> Finding | None:
        steps = np.diff(log.get("env_steps"), prepend=0.0)
        episodes = steps / log.get("mean_episode_length")
        variance = np.clip(log.get("explained_variance"), -1.0, 1.0)
        few = np.isfinite(episodes) & (episodes < EPISODES)
        row = lasting(few, WINDOW, WINDOW)
        recent = variance[-WINDOW:]
        if row is None or rises(log) or np.isfinite(recent).sum() < WINDOW - 1:
            return None
        unsteady = float(np.nanstd(recent))
        if unsteady < UNSTEADY:
            return None
        evidence = (
            f"{number(median(episodes[row:]))} episodes end in a batch, "
            f"explained variance moves by {number(unsteady)}"
        )
        changes = [
            Change("ppo.num_steps", "", "four times as many steps a batch"),
            Change("env.num_envs", "", "or as many more environments"),
        ]
        return self.found(log, row, evidence, changes, confidence=0.4)
