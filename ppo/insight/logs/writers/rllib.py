"""RLlib."""

from __future__ import annotations

import re

import numpy as np

from ppo.insight.logs.columns import begin, entropy_relative, raw_error, rows_apart
from ppo.insight.logs.log import MetricsLog
from ppo.insight.logs.series import Series
from ppo.insight.logs.writers import reads

_RLLIB = {
    "episode_reward_mean": "mean_episode_return",
    "episode_return_mean": "mean_episode_return",
    "episode_len_mean": "mean_episode_length",
    "cur_lr": "learning_rate",
    "default_optimizer_learning_rate": "learning_rate",
    "policy_loss": "policy_loss",
    "vf_loss": "value_loss",
    "vf_explained_var": "explained_variance",
    "kl": "approx_kl",
    "mean_kl_loss": "approx_kl",
    "entropy": "entropy",
    "entropy_coeff": "entropy_coefficient",
    "curr_entropy_coeff": "entropy_coefficient",
    "curr_lr": "learning_rate",
}
_RLLIB_CONFIG = {  # its words -> ours, of the configuration that result.json repeats in each row
    "gamma": "ppo.gamma",
    "lambda": "ppo.gae_lambda",
    "clip_param": "ppo.clip_epsilon",
    "num_sgd_iter": "ppo.num_epochs",
    "num_epochs": "ppo.num_epochs",
    "vf_loss_coeff": "ppo.value_loss_weight",
    "train_batch_size": "ppo.num_steps",
}
_VF_CLIP = 10.0  # its default of vf_clip_param, the largest squared error of a sample
_AT_CLIP = 0.9  # of it, that most errors must be, for the default to show (J)
_TAGS = r"info/learner/|learners/\w+/|env_runners/|^(ray/tune/)?episode_reward_mean$"
_RLLIB_STEPS = ("num_env_steps_sampled_lifetime", "timesteps_total", "num_env_steps_sampled")


@reads("rllib", 7, pattern=_TAGS, names=(_RLLIB,))
def _rllib(series: Series) -> MetricsLog:
    chosen: dict[str, str] = {}
    for tag in sorted(series.points, key=len):
        name = _RLLIB.get(tag.rsplit("/", 1)[-1])
        aside = re.search(r"(^|/)(evaluation|config)/", tag)
        if name and not aside and name not in chosen.values():
            chosen[tag] = name
    log, steps = begin(series, "rllib", chosen, list(chosen))
    for name in _RLLIB_STEPS:  # the axis of event files is that already
        tag = next((t for t in series.points if t.rsplit("/", 1)[-1] == name), "")
        if tag:
            log.columns["env_steps"] = series.at(tag, steps)
            break
    if any(tag.rsplit("/", 1)[-1] in ("mean_q", "qf_loss", "td_error") for tag in series.points):
        log.algorithm = "DQN or SAC"
    tag = next((t for t in series.points if t.rsplit("/", 1)[-1] == "training_iteration"), "")
    rows_apart(log, series.at(tag, steps))
    raw_error(log)
    _rllib_config(log, series)
    entropy_relative(log)
    log.notes.append("vf_loss is (v - R)^2, each at most vf_clip_param")
    return log


def _rllib_config(log: MetricsLog, series: Series) -> None:
    """Settings as far as they are logged, and how far the clip of the value loss is exhausted."""
    for theirs, ours in _RLLIB_CONFIG.items():
        if series.has(f"config/{theirs}"):
            series.used.add(f"config/{theirs}")
            value = float(series.points[f"config/{theirs}"][-1, 1])
            log.settings[ours] = int(value) if value.is_integer() else value
    if not log.has("value_loss"):
        return
    loss, clip = log.get("value_loss"), _VF_CLIP
    if series.has("config/vf_clip_param"):
        clip = float(series.points["config/vf_clip_param"][-1, 1])
    elif not np.nanmax(loss, initial=0.0) <= clip * 1.001:
        return
    if 0 < clip < np.inf and np.nanmedian(loss[len(loss) // 2 :]) > _AT_CLIP * clip:
        log.columns["value_clip_fraction"] = np.clip(loss / clip, 0.0, 1.0)
