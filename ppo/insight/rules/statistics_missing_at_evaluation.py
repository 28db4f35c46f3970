"""The policy is evaluated without the statistics it was trained with."""

from __future__ import annotations

import numpy as np

from ppo.core.figures import number
from ppo.insight.logs.log import MetricsLog
from ppo.insight.rules import Change, Finding, Rule, rule
from ppo.insight.rules._signs import known, median

LOST = 0.5  # of the gain since the start of training (J)
CLEAR = 5.0  # times the noise between batches that the gain must have been
EVALUATIONS = 3


@rule("statistics_missing_at_evaluation")
class StatisticsMissingAtEvaluation(Rule):
    number = 28
    needs = (("evaluation_return", "mean_episode_return"),)
    sources = ("rl-zoo #275", "Stable-Baselines3 #870")

    def check(self, log: MetricsLog) -> Finding | None:
        rows, evaluated = known(log.get("evaluation_return"))
        trained = log.returns()
        if len(evaluated) < EVALUATIONS or len(trained) < 10:
            return None
        start, now = median(trained[:3]), median(trained[-5:])
        gained = now - start
        noise = float(np.median(np.abs(np.diff(trained)))) * 1.5
        if gained <= CLEAR * noise:
            return None
        late = evaluated[-EVALUATIONS:]
        if not bool((late < now - LOST * gained).all()):
            return None
        evidence = f"return {number(now)} in training, {number(median(late))} in evaluation"
        changes = [
            Change("", "", "evaluate with the training's observation statistics, not updated"),
            Change("evaluation.deterministic", "false", "to see whether the mode is at fault"),
        ]
        return self.found(log, int(rows[-EVALUATIONS]), evidence, changes, confidence=0.5)
