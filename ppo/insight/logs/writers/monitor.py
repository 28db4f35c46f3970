"""Stable-Baselines3's monitor.csv: an episode a row."""

from __future__ import annotations

import numpy as np

from ppo.insight.logs.columns import EPISODES, MOST_BINS, between
from ppo.insight.logs.log import MetricsLog
from ppo.insight.logs.series import Series
from ppo.insight.logs.writers import reads


@reads("monitor", 10, ("r", "l", "t"))
def _monitor(series: Series) -> MetricsLog:
    """Stable-Baselines3's monitor.csv: the steps are those of all files together."""
    lines = series.steps("r", "l")
    rewards, lengths = series.at("r", lines), series.at("l", lines)
    whole = np.isfinite(rewards) & np.isfinite(lengths)
    rewards, lengths = rewards[whole], lengths[whole]
    ends = np.cumsum(lengths)
    bins = max(min(len(ends) // EPISODES, MOST_BINS), 1)
    steps = np.ceil(np.linspace(0, ends[-1], bins + 1)[1:]) if len(ends) else np.zeros(0)
    log = MetricsLog(batches=np.arange(len(steps), dtype=np.int64), writer="monitor.csv")
    log.columns["env_steps"] = steps
    binned = Series(points={k: np.stack([ends, v], 1) for k, v in (("r", rewards), ("l", lengths))})
    between(log, binned, steps, {"r": "mean_episode_return", "l": "mean_episode_length"})
    series.used.add("t")
    log.notes.append(
        f"{len(ends)} episodes in {len(steps)} parts of equal length, taken for batches"
    )
    log.notes.append("returns alone: whether it was PPO that wrote them is not known")
    return log
