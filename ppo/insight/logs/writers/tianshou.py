"""Tianshou."""

from __future__ import annotations

import re

from ppo.insight.logs.columns import begin, entropy_relative
from ppo.insight.logs.log import MetricsLog
from ppo.insight.logs.series import Series
from ppo.insight.logs.writers import reads

_TIANSHOU = {
    "train/reward": "mean_episode_return",
    "train/returns_stat/mean": "mean_episode_return",
    "training/returns_stat/mean": "mean_episode_return",  # since 2.0
    "train/length": "mean_episode_length",
    "train/lens_stat/mean": "mean_episode_length",
    "training/lens_stat/mean": "mean_episode_length",
}
_TIANSHOU_LOSSES = {"clip": "policy_loss", "vf": "value_loss", "ent": "entropy"}
_TIANSHOU_OTHERS = {
    "actor": "an actor-critic other",
    "critic1": "SAC or TD3",
    "critic": "DDPG",
    "q": "DQN",
}


@reads(
    "tianshou",
    8,
    ("train/reward", "train/length"),
    pattern="/returns_stat/",
    names=(_TIANSHOU, _TIANSHOU_OTHERS),
)
def _tianshou(series: Series) -> MetricsLog:
    log, steps = begin(series, "tianshou", _TIANSHOU)
    for tag in ("test/reward", "test/returns_stat/mean"):
        if series.has(tag):
            log.columns["evaluation_return"] = series.mean_between(tag, steps)[0]
    for leaf, name in _TIANSHOU_LOSSES.items():
        form = rf"(update/)?(loss/{leaf}|{leaf}_loss(/mean)?)"
        tag = next((tag for tag in series.points if re.fullmatch(form, tag)), "")
        if tag and len(series.points[tag]) == len(steps):  # its axis is the gradient step
            series.used.add(tag)
            log.columns[name] = series.points[tag][:, 1]
    for leaf, other in _TIANSHOU_OTHERS.items():
        if any(re.fullmatch(rf"(update/)?loss/{leaf}", tag) for tag in series.points):
            log.algorithm = f"{other} than PPO" if leaf == "actor" else other
    entropy_relative(log)
    log.notes.append("losses have an axis of their own and are used where they pair with batches")
    return log
