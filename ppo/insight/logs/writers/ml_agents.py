"""Unity ML-Agents."""

from __future__ import annotations

import re

from ppo.core.elsewhere import settings_of
from ppo.insight.logs.columns import (
    as_last_written,
    begin,
    entropy_relative,
    plain,
    raw_error,
    rows_apart,
    task_level,
)
from ppo.insight.logs.log import MetricsLog
from ppo.insight.logs.series import Series
from ppo.insight.logs.writers import reads

_UNITY_LOSSES = {
    "Losses/Policy Loss": "policy_loss_size",  # its absolute value
    "Losses/Value Loss": "value_loss",
    "Policy/Learning Rate": "learning_rate",
    "Policy/Beta": "entropy_coefficient",
    "Policy/Epsilon": "clip_range",
}
_UNITY_SUMMARY = {
    "Policy/Entropy": "entropy",
    "Environment/Cumulative Reward": "mean_episode_return",
    "Environment/Episode Length": "mean_episode_length",
}


_UNITY_OTHERS = {"Losses/Q1 Loss": "SAC", "Losses/Baseline Loss": "POCA"}
_ELO = "Self-play/ELO"


@reads(
    "ml_agents",
    5,
    ("Environment/Cumulative Reward",),
    ("Losses/Policy Loss",),
    names=(_UNITY_LOSSES, _UNITY_SUMMARY),
)
def _unity(series: Series) -> MetricsLog:
    summary = [tag for tag in _UNITY_SUMMARY if series.has(tag)]
    log, steps = begin(
        series, "ml-agents", _UNITY_SUMMARY, summary or [t for t in _UNITY_LOSSES if series.has(t)]
    )
    for tag, name in _UNITY_LOSSES.items():
        if series.has(tag):
            log.columns[name] = as_last_written(series.at(tag, steps))  # one may span several lines
    task_level(log, series, steps)
    if series.has(_ELO):  # against itself a policy wins half of the games, however good it is
        log.columns["mean_episode_return"] = as_last_written(series.at(_ELO, steps))
        log.notes.append("self-play: the rating (ELO) stands for the return")
    text = next((t for k, t in series.texts.items() if "yperparameters" in k), "")
    kind = re.search(r"trainer_type:\s*(\w+)", text)
    others = [name for tag, name in _UNITY_OTHERS.items() if series.has(tag)]
    if kind and kind.group(1).lower() != "ppo" or others:
        log.algorithm = kind.group(1).upper() if kind else others[0]
    for theirs, ours in settings_of("ml-agents").items():
        found = re.search(rf"^\s*{theirs}:\s*(\S+)", text, flags=re.MULTILINE)
        if found:
            log.settings[ours] = plain(found.group(1))
    rows_apart(log, steps, log.number("ppo.num_steps"))
    raw_error(log)
    entropy_relative(log)
    log.notes.append("a batch is a line of its summary; no KL and no explained variance")
    return log
