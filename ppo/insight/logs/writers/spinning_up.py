"""Spinning Up."""

from __future__ import annotations

from ppo.insight.logs.columns import begin, entropy_relative, raw_error
from ppo.insight.logs.log import MetricsLog
from ppo.insight.logs.series import Series
from ppo.insight.logs.writers import WRITERS, Writer

_SPINNING_UP = {
    "AverageEpRet": "mean_episode_return",
    "EpLen": "mean_episode_length",
    "LossPi": "policy_loss",
    "LossV": "value_loss",
    "Entropy": "entropy",
    "KL": "approx_kl",
    "ClipFrac": "clip_fraction",
}


def _is_spinning_up(series: Series) -> bool:
    return series.has("AverageEpRet")


def _spinning_up(series: Series) -> MetricsLog:
    log, steps = begin(series, "spinning-up", _SPINNING_UP)
    if not series.has("ClipFrac"):
        off_policy = any(tag.startswith("LossQ") for tag in series.points)
        log.algorithm = "SAC, TD3 or DDPG" if off_policy else "VPG or TRPO"
    raw_error(log)
    entropy_relative(log)
    return log


WRITERS.register("spinning_up")(Writer(9, _is_spinning_up, _spinning_up, (_SPINNING_UP,)))
