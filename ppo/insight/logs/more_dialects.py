"""Dialects that hold less: Unity ML-Agents, skrl, Tianshou, RLlib, Spinning Up, plain tables."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

from ppo.core.elsewhere import settings_of
from ppo.insight.logs.columns import (
    EPISODES,
    MOST_BINS,
    as_last_written,
    begin,
    entropy_relative,
    is_raw,
    plain,
    task_level,
)
from ppo.insight.logs.log import Column, MetricsLog
from ppo.insight.logs.series import Series


def _between(log: MetricsLog, series: Series, steps: Column, names: dict[str, str]) -> None:
    """Means of figures that are written more often than once a batch."""
    for tag, name in names.items():
        if series.has(tag):
            log.columns[name] = series.mean_between(tag, steps)[0]


def _root_error(log: MetricsLog) -> None:
    """The root error, of a value loss that is (v - R)^2 in reward units, without a half."""
    if "value_loss" in log.columns:
        log.columns["value_rmse"] = np.sqrt(np.abs(log.columns["value_loss"]))
        log.settings["ppo.normalize_returns"] = False


# Unity ML-Agents -------------------------------------------------------------------------------

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


def _is_unity(series: Series) -> bool:
    return any(series.has(tag) for tag in ("Environment/Cumulative Reward", "Losses/Policy Loss"))


def _unity(series: Series) -> MetricsLog:
    summary = [tag for tag in _UNITY_SUMMARY if series.has(tag)]
    log, steps = begin(
        series, "ml-agents", _UNITY_SUMMARY, summary or [t for t in _UNITY_LOSSES if series.has(t)]
    )
    for tag, name in _UNITY_LOSSES.items():
        if series.has(tag):
            log.columns[name] = as_last_written(series.at(tag, steps))  # one may span several lines
    task_level(log, series, steps)
    text = next((t for k, t in series.texts.items() if "yperparameters" in k), "")
    kind = re.search(r"trainer_type:\s*(\w+)", text)
    if kind and kind.group(1).lower() != "ppo" or series.has("Losses/Q1 Loss"):
        log.algorithm = kind.group(1).upper() if kind else "SAC"
    for theirs, ours in settings_of("ml-agents").items():
        found = re.search(rf"^\s*{theirs}:\s*(\S+)", text, flags=re.MULTILINE)
        if found:
            log.settings[ours] = plain(found.group(1))
    _root_error(log)
    entropy_relative(log)
    log.notes.append("a batch is a line of its summary; no KL and no explained variance")
    return log


# skrl ------------------------------------------------------------------------------------------

_SKRL_LOSSES = {
    "Loss / Policy loss": "policy_loss",
    "Loss / Value loss": "value_loss",
    "Loss / Entropy loss": "entropy_loss",
    "Policy / Standard deviation": "policy_std",
    "Learning / Learning rate": "learning_rate",
}
_SKRL_SUMMARY = {
    "Reward / Total reward (mean)": "mean_episode_return",
    "Episode / Total timesteps (mean)": "mean_episode_length",
}


def _is_skrl(series: Series) -> bool:
    return any(" / " in tag for tag in series.points) and any(
        tag.startswith(("Loss / ", "Reward / ")) for tag in series.points
    )


def _skrl(series: Series) -> MetricsLog:
    losses = [tag for tag in _SKRL_LOSSES if series.has(tag)]
    log, steps = begin(
        series, "skrl", _SKRL_LOSSES, losses or [t for t in _SKRL_SUMMARY if series.has(t)]
    )
    log.columns.pop("env_steps", None)  # the axis counts steps of each environment
    _between(log, series, steps, _SKRL_SUMMARY)
    if not log.has("mean_episode_return"):
        step_reward = "Reward / Instantaneous reward (mean)"
        _between(log, series, steps, {step_reward: "mean_episode_return"})
        log.notes.append("no episode's return is logged: the mean reward of a step stands for it")
    if series.has("Loss / Critic loss"):
        log.algorithm = "SAC, TD3 or DDPG"
    if is_raw(log.get("value_loss")):
        _root_error(log)
    else:
        log.notes.append("the value loss may be in normalized units: rules that need its unit pass")
    return log


# Tianshou --------------------------------------------------------------------------------------

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


def _is_tianshou(series: Series) -> bool:
    return series.has("train/reward", "train/length") or any(
        "/returns_stat/" in tag for tag in series.points
    )


def _tianshou(series: Series) -> MetricsLog:
    log, steps = begin(series, "tianshou", _TIANSHOU)
    for tag in ("test/reward", "test/returns_stat/mean"):
        if series.has(tag):
            log.columns["evaluation_return"] = series.mean_between(tag, steps)[0]
    for leaf, name in _TIANSHOU_LOSSES.items():
        tag = next(
            (
                t
                for t in series.points
                if re.fullmatch(rf"(update/)?(loss/{leaf}|{leaf}_loss(/mean)?)", t)
            ),
            "",
        )
        if tag and len(series.points[tag]) == len(steps):  # its axis is the gradient step
            series.used.add(tag)
            log.columns[name] = series.points[tag][:, 1]
    for leaf, other in _TIANSHOU_OTHERS.items():
        if any(re.fullmatch(rf"(update/)?loss/{leaf}", tag) for tag in series.points):
            log.algorithm = f"{other} than PPO" if leaf == "actor" else other
    entropy_relative(log)
    log.notes.append("losses have an axis of their own and are used where they pair with batches")
    return log


# RLlib -----------------------------------------------------------------------------------------

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
_RLLIB_STEPS = ("num_env_steps_sampled_lifetime", "timesteps_total", "num_env_steps_sampled")


def _is_rllib(series: Series) -> bool:
    return any(
        re.search(r"info/learner/|learners/\w+/|env_runners/", tag)
        or tag.removeprefix("ray/tune/") == "episode_reward_mean"
        for tag in series.points
    )


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
    _root_error(log)
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
    loss, clip = log.get("value_loss"), _VF_CLIP
    if series.has("config/vf_clip_param"):
        clip = float(series.points["config/vf_clip_param"][-1, 1])
    elif not np.nanmax(loss, initial=0.0) <= clip * 1.001:
        return
    if 0 < clip < np.inf and np.nanmedian(loss[len(loss) // 2 :]) > _AT_CLIP * clip:
        log.columns["value_clip_fraction"] = np.clip(loss / clip, 0.0, 1.0)


# Spinning Up -----------------------------------------------------------------------------------

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
    _root_error(log)
    entropy_relative(log)
    return log


# One row an episode, or a mean of some ------------------------------------------------------------


def _is_monitor(series: Series) -> bool:
    return series.has("r", "l") and "t" in series.points


def _monitor(series: Series) -> MetricsLog:
    """Stable-Baselines3's monitor.csv: the steps are those of all files together."""
    rewards, lengths = series.points["r"], series.points["l"][:, 1]
    ends = np.cumsum(lengths)
    bins = max(min(len(ends) // EPISODES, MOST_BINS), 1)
    steps = np.linspace(0, ends[-1], bins + 1)[1:] if len(ends) else np.zeros(0)
    log = MetricsLog(batches=np.arange(len(steps), dtype=np.int64), writer="monitor.csv")
    log.columns["env_steps"] = steps
    binned = Series(
        points={k: np.stack([ends, v], 1) for k, v in (("r", rewards[:, 1]), ("l", lengths))}
    )
    _between(log, binned, steps, {"r": "mean_episode_return", "l": "mean_episode_length"})
    series.used |= {"r", "l", "t"}
    log.notes.append(
        f"{len(ends)} episodes in {len(steps)} parts of equal length, taken for batches"
    )
    log.notes.append("returns alone: whether it was PPO that wrote them is not known")
    return log


def _is_ppo_pytorch(series: Series) -> bool:
    return series.has("episode", "reward") and "timestep" in series.points


def _ppo_pytorch(series: Series) -> MetricsLog:
    log, steps = begin(series, "ppo-pytorch", {"reward": "mean_episode_return"})
    log.columns["env_steps"] = series.at("timestep", steps)
    series.used.add("episode")
    return log


MORE: list[tuple[Callable[[Series], bool], Callable[[Series], MetricsLog]]] = [
    (_is_unity, _unity),
    (_is_skrl, _skrl),
    (_is_rllib, _rllib),
    (_is_tianshou, _tianshou),
    (_is_spinning_up, _spinning_up),
    (_is_monitor, _monitor),
    (_is_ppo_pytorch, _ppo_pytorch),
]
