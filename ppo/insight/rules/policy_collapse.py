"""A policy that was good is good no more."""

from __future__ import annotations

import numpy as np

from ppo.insight.logs.log import Column, MetricsLog
from ppo.insight.rules import RULES, SMOOTHED, Change, Finding, Rule, known, median, number

LOST = 0.5  # of the best gain (J)
STAYS = 10  # batches
CLEAR = 5.0  # times the noise between batches that the gain must have been (J)
SMOOTH = 5  # batches
MOVERS = (
    "approx_kl",
    "value_rmse",
    "error_over_std",
    "return_drift",
    "reward_outlier",
    "grad_norm",
)
MOVED = 5.0  # times its own median


@RULES.register("policy_collapse")
class PolicyCollapse(Rule):
    illness = "policy_collapse"
    number = 19
    waits = 2 * STAYS
    needs = (("mean_episode_return",),)
    sources = ("Stable-Baselines3 #324", "hill-a #837")

    def check(self, log: MetricsLog) -> Finding | None:
        rows, returns = known(log.get("mean_episode_return"))
        if len(returns) < 2 * STAYS:
            return None
        smooth = np.convolve(returns, np.full(SMOOTH, 1 / SMOOTH), mode="valid")
        top = int(np.argmax(smooth))
        # the start is the lowest of the run up to the top: a first batch may be lucky
        best, start = float(smooth[top]), float(np.min(smooth[: top + 1]))
        noise = float(np.mean(np.abs(np.diff(returns)))) * 1.25
        if log.writer == "stable-baselines3":  # a mean over 100 episodes drifts by itself
            noise *= SMOOTHED
        after = smooth[top:]
        if best - start < CLEAR * noise or best - start <= 0 or len(after) < STAYS:
            return None
        if not bool((after[-STAYS:] < best - LOST * (best - start)).all()):
            return None
        fall = top + int(np.flatnonzero(after < best - LOST * (best - start))[0])
        row = int(rows[min(top + SMOOTH - 1, len(rows) - 1)])
        evidence = f"return {number(start)} -> {number(best)} -> {number(float(smooth[-1]))}"
        moved = _first_mover(log, row, int(rows[fall]))
        if moved:
            evidence += f"; {moved} moved first"
        changes = [
            Change("ppo.learning_rate", "", "a third of what it was"),
            Change("ppo.target_kl", "0.01"),
            Change("ppo.learning_rate_schedule", "linear", "and resume from the best checkpoint"),
        ]
        return self.found(log, row, evidence, changes, confidence=0.7)


def _first_mover(log: MetricsLog, top: int, fall: int) -> str:
    """The metric that left its usual range first around the fall."""
    first: dict[str, int] = {}
    for name in MOVERS:
        column: Column = log.get(name)
        usual = median(column[: top + 1])
        with np.errstate(invalid="ignore"):
            rows = np.flatnonzero(column[top : fall + 1] > MOVED * usual)
        if usual > 0 and len(rows):
            first[name] = int(rows[0])
    return min(first, key=lambda name: first[name]) if first else ""
