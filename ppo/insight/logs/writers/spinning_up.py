"""Spinning Up."""

from __future__ import annotations

from ppo.insight.logs.columns import begin, entropy_relative, raw_error
from ppo.insight.logs.log import MetricsLog
from ppo.insight.logs.series import Series
from ppo.insight.logs.writers import reads

_SPINNING_UP = {
    "AverageEpRet": "mean_episode_return",
    "EpLen": "mean_episode_length",
    "LossPi": "policy_loss",
    "LossV": "value_loss",
    "Entropy": "entropy",
    "KL": "approx_kl",
    "ClipFrac": "clip_fraction",
}


@reads("spinning_up", 9, ("AverageEpRet",), names=(_SPINNING_UP,))
def _spinning_up(series: Series) -> MetricsLog:
    log, steps = begin(series, "spinning-up", _SPINNING_UP)
    if not series.has("ClipFrac"):
        off_policy = any(tag.startswith("LossQ") for tag in series.points)
        log.algorithm = "SAC, TD3 or DDPG" if off_policy else "VPG or TRPO"
    raw_error(log)
    entropy_relative(log)
    return log
