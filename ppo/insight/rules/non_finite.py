"""NaN or infinity: the first tensor that held one decides where to look."""

from __future__ import annotations

import numpy as np

from ppo.insight.logs.log import MetricsLog
from ppo.insight.rules import FATAL, SLOWER, Change, Finding, Rule, rule

ORDER = (  # where a bad number can enter, first to last
    "reward_nonfinite",
    "mean_episode_return",
    "return_mean",
    "return_std",
    "target_mean",
    "value_loss",
    "policy_loss",
    "total_loss",
    "entropy",
    "approx_kl",
    "grad_norm",
    "policy_std",
)
FROM_REWARDS = ORDER[:4]
COUNTS = ("reward_nonfinite", "skipped_minibatches")  # the trainer's own counts of bad numbers


@rule("non_finite")
class NonFinite(Rule):
    number = 1
    severity = FATAL
    waits = 1
    explains = ("*",)
    sources = ("IsaacLab #1999", "rsl_rl #33", "Stable-Baselines3 VecCheckNan")

    def check(self, log: MetricsLog) -> Finding | None:
        first = {}
        for name in (*ORDER, "skipped_minibatches"):
            rows = np.flatnonzero(_bad(log, name))
            if len(rows):
                first[name] = int(rows[0])
        told = [(batch, event) for batch, event in log.events if _tells(event.lower())]
        if told:
            first["events"] = int(np.searchsorted(log.batches, told[0][0]))
        if not first:
            return None
        row = min(first.values())
        names = [name for name, at in first.items() if at == row]
        rewards = any(name in FROM_REWARDS for name in names)
        count = sum(int(_bad(log, name).sum()) for name in names)
        evidence = f"not finite first in {names[0]}, batch {log.batch(row)} ({max(count, 1)} times)"
        if ended := names == ["events"] and "environment" in told[0][1]:
            evidence, rewards = told[0][1], True
        changes = [SLOWER, Change("ppo.normalize_returns", "true")]
        changes.append(Change("ppo.max_grad_norm", "0.5"))
        if rewards:
            changes = [
                Change("env.on_nonfinite", "stop", "names the environment; repair its reward"),
                *([Change("env.on_nonfinite", "reset", "cuts such an episode")] if ended else []),
                Change("", "", "bound the actions that reach the simulation"),
            ]
        return self.found(log, row, evidence, changes, confidence=0.95)


def _tells(event: str) -> bool:
    return "non-finite" in event or "not finite" in event or "nan" in event.split()


def _bad(log: MetricsLog, name: str) -> np.ndarray:
    if name in COUNTS:
        return log.get(name) > 0
    marks = log.nonfinite.get(name)
    if marks is None or name == "mean_episode_return" and not marks[-1] and not log.has(name):
        return np.zeros(len(log), dtype=bool)
    if name == "mean_episode_return":  # NaN before the first episode has ended is ordinary
        seen = np.cumsum(np.isfinite(log.get(name))) > 0
        return np.asarray(marks & seen)
    return marks
