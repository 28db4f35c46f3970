"""What each library calls its figures, and in which unit (the same word means different numbers).

Sources: the libraries' own code as of 2026 (Stable-Baselines3 2.9, CleanRL, rsl_rl, rl_games).
A figure whose unit cannot be converted is left out, and a note says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from ppo.core.elsewhere import settings_of
from ppo.insight.logs.columns import (
    begin,
    entropy_relative,
    fill,
    is_raw,
    plain,
    start,
    task_level,
)
from ppo.insight.logs.further_dialects import FURTHER
from ppo.insight.logs.log import Column, MetricsLog, derive
from ppo.insight.logs.more_dialects import MORE
from ppo.insight.logs.names import PREFIXES, by_name, in_parts, tidy, without_prefix
from ppo.insight.logs.series import Series
from ppo.insight.logs.tables import STEP_NAMES


def interpret(series: Series) -> MetricsLog:
    """The series under the contract's names, by whichever library wrote them."""
    series, read = _recognized(tidy(series))
    log = read(series)
    log.notes = series.notes + log.notes
    log.unknown_tags = sorted(
        tag
        for tag in set(series.points) - series.used
        if tag.lower() not in STEP_NAMES and tag[:5] != "time/"
    )
    log.nonfinite.update(_infinite(log))
    derive(log)
    return log


def _recognized(series: Series) -> tuple[Series, Callable[[Series], MetricsLog]]:
    """The reader of the library that wrote the series, whose prefixes are taken off."""
    stripped: Series | None = series
    for _ in range(PREFIXES):
        if stripped is None:
            break
        for recognizes, read in [*_WRITERS, *MORE, *FURTHER]:
            if recognizes(stripped):
                return stripped, read
        stripped = without_prefix(stripped)
    return series, by_name


def _infinite(log: MetricsLog) -> dict[str, Any]:
    marks = {}
    for name, column in log.columns.items():
        bad = np.isinf(column)
        if bad.any():
            marks[name] = bad | log.nonfinite.get(name, np.zeros(len(log), dtype=bool))
            log.columns[name] = np.where(bad, np.nan, column)
    return marks


# Stable-Baselines3 -----------------------------------------------------------------------------

SB3_TRAIN = {
    "train/approx_kl": "approx_kl",
    "train/clip_fraction": "clip_fraction",
    "train/explained_variance": "explained_variance",
    "train/learning_rate": "learning_rate",
    "train/policy_gradient_loss": "policy_loss",
    "train/value_loss": "value_loss",
    "train/std": "policy_std",
    "train/loss": "last_minibatch_loss",
    "train/clip_range": "clip_range",
    "train/clip_range_vf": "clip_range_vf",
    "train/entropy_loss": "entropy",
}
SB3_ROLLOUT = {
    "rollout/ep_rew_mean": "mean_episode_return",
    "rollout/ep_len_mean": "mean_episode_length",
    "rollout/success_rate": "success_rate",
    "time/fps": "steps_per_second",
}


_SB3_ROW = ("rollout/ep_rew_mean", "rollout/ep_len_mean", "time/fps", "time/iterations")
_SB3_OTHERS = {  # tags that its other algorithms write
    "train/critic_loss": "SAC, TD3 or DDPG",
    "rollout/exploration_rate": "DQN",
    "rollout/exploration rate": "DQN",
    "train/policy_loss": "A2C",
}


def _is_sb3(series: Series) -> bool:
    return any(
        series.has(tag)
        for tag in ("train/policy_gradient_loss", "train/clip_range", "rollout/ep_rew_mean")
    ) or series.has("train/n_updates", "train/entropy_loss")


def _sb3(series: Series) -> MetricsLog:
    train = [tag for tag in SB3_TRAIN if series.has(tag)]
    rollout = [tag for tag in _SB3_ROW if series.has(tag)]
    log, steps = start(series, *(rollout or train))
    log.writer = "stable-baselines3"
    if not series.has("train/policy_gradient_loss"):
        others = [name for tag, name in _SB3_OTHERS.items() if series.has(tag)]
        log.algorithm = others[0] if others else log.algorithm
    fill(log, series, steps, SB3_ROLLOUT)
    fill(log, series, steps, SB3_TRAIN)
    if series.has("eval/mean_reward"):  # at steps of its own, which are seldom those of a rollout
        log.columns["evaluation_return"] = series.mean_between("eval/mean_reward", steps)[0]
    if rollout:
        _one_late(log, series, steps)
    if "entropy" in log.columns:
        log.columns["entropy"] = -log.columns["entropy"]
    if "value_loss" in log.columns:  # mean (v - R)^2 over all minibatches of all epochs
        log.columns["value_rmse"] = np.sqrt(np.abs(log.columns["value_loss"]))
    if log.has("clip_range_vf"):
        log.settings["ppo.value_clip"] = "absolute"
        log.settings["ppo.value_clip_epsilon"] = float(np.nanmedian(log.columns["clip_range_vf"]))
    elif log.has("clip_range"):
        log.settings["ppo.value_clip"] = "none"
    if (epochs := _epochs(series)) is not None:
        log.settings["ppo.num_epochs"] = epochs
    entropy_relative(log, discrete=True)  # a Gaussian policy logs train/std
    task_level(log, series, steps)
    log.notes.append(
        "explained variance is before the update; value_loss is (v - R)^2 without a half"
    )
    return log


def _one_late(log: MetricsLog, series: Series, steps: Column) -> None:
    """Moves `train/*` to the batch they belong to: they are written after the next rollout.

    An evaluation writes them out earlier, at its own step, which is no batch.
    """
    for tag, name in SB3_TRAIN.items():
        if not series.has(tag):
            continue
        points = series.points[tag]
        row = np.searchsorted(steps, points[:, 0], side="left") - 1
        column, bad = np.full(len(steps), np.nan), np.zeros(len(steps), dtype=bool)
        keep = row >= 0
        column[row[keep]] = points[keep, 1]
        bad[row[keep]] = ~np.isfinite(points[keep, 1])
        log.columns[name], log.nonfinite[name] = column, bad


def _epochs(series: Series) -> int | None:
    """Epochs a batch: `train/n_updates` counts them all; an early stop shortens a batch."""
    points = series.points.get("train/n_updates")
    series.used.add("train/n_updates")
    if points is None or not len(points):
        return None
    counts = points[np.isfinite(points[:, 1]), 1]
    steps = np.diff(counts) if len(counts) > 1 else counts
    largest = float(np.max(steps)) if len(steps) else 0.0
    return round(largest) if 1 <= largest <= 1e6 else None


# CleanRL ---------------------------------------------------------------------------------------

_CLEANRL = {
    "charts/learning_rate": "learning_rate",
    "charts/SPS": "steps_per_second",
    "losses/value_loss": "value_loss",
    "losses/policy_loss": "policy_loss",
    "losses/entropy": "entropy",
    "losses/approx_kl": "approx_kl",
    "losses/clipfrac": "clip_fraction",
    "losses/explained_variance": "explained_variance",
    "losses/grad_norm": "grad_norm",
}


_PUFFERLIB = {  # beside the losses, which have CleanRL's names
    "environment/episode_return": "mean_episode_return",
    "environment/episode_length": "mean_episode_length",
    "environment/score": "mean_episode_return",
    "learning_rate": "learning_rate",
    "SPS": "steps_per_second",
}


def _is_cleanrl(series: Series) -> bool:
    return series.has("charts/episodic_return") or (
        series.has("losses/value_loss")
        and (
            series.has("losses/clipfrac")
            or series.has("charts/SPS")
            or series.has("losses/old_approx_kl")
        )
    )


def _cleanrl(series: Series) -> MetricsLog:
    losses = [tag for tag in _CLEANRL if tag.startswith("losses/") and series.has(tag)]
    if not losses:
        return _cleanrl_returns(series)
    log, steps = begin(series, "cleanrl", _CLEANRL, losses)
    if any(series.has(tag) for tag in _PUFFERLIB):
        return _pufferlib(log, series, steps)
    returns, count = series.mean_between("charts/episodic_return", steps)
    if count.any():
        log.columns["mean_episode_return"] = returns
        log.columns["episodes_ended"] = count
        lengths, _ = series.mean_between("charts/episodic_length", steps)
        log.columns["mean_episode_length"] = lengths
    if "value_loss" in log.columns:  # half of (v - R)^2, of the last minibatch only
        log.columns["value_rmse"] = np.sqrt(2.0 * np.abs(log.columns["value_loss"]))
    settings = _markdown_table(series.texts.get("hyperparameters/text_summary", ""))
    names = settings_of("cleanrl")
    for theirs, value in settings.items():
        if theirs not in ("param", "-"):  # the head of the table
            log.settings[names.get(theirs, f"cleanrl.{theirs}")] = plain(value)
    if settings.get("clip_vloss") == "True":
        log.settings["ppo.value_clip"] = "absolute"
        if np.isfinite(epsilon := log.number("ppo.clip_epsilon")):
            log.settings["ppo.value_clip_epsilon"] = epsilon
    elif "clip_vloss" in settings:
        log.settings["ppo.value_clip"] = "none"
    continuous = "continuous" in settings.get("exp_name", "")
    entropy_relative(log, discrete=False if continuous else None)
    log.notes.append("losses, KL and clip fraction are those of the last minibatch of each batch")
    return log


def _pufferlib(log: MetricsLog, series: Series, steps: Column) -> MetricsLog:
    """Losses are means over a batch; what episodes came to stands under environment/."""
    log.writer = "pufferlib"
    names = {tag: name for tag, name in _PUFFERLIB.items() if series.has(tag)}
    if "environment/episode_return" in names:
        names.pop("environment/score", None)
    fill(log, series, steps, names)
    if "value_loss" in log.columns:  # half of (v - R)^2
        log.columns["value_rmse"] = np.sqrt(2.0 * np.abs(log.columns["value_loss"]))
    entropy_relative(log)
    return log


def _cleanrl_returns(series: Series) -> MetricsLog:
    """What its scripts print, or one chart of it: an episode a row."""
    names = {"charts/episodic_return": "mean_episode_return"}
    if series.has("charts/episodic_length"):
        names["charts/episodic_length"] = "mean_episode_length"
    log = in_parts(series, names)
    log.writer = "cleanrl"
    log.notes.append("returns alone: whether it was PPO that wrote them is not known")
    return log


def _markdown_table(text: str) -> dict[str, str]:
    rows = re.findall(r"^\|([^|\n]+)\|([^|\n]*)\|\s*$", text, flags=re.MULTILINE)
    return {key.strip(): value.strip() for key, value in rows}


# rsl_rl ----------------------------------------------------------------------------------------

_RSL_RL = {
    "Loss/value": "value_loss",
    "Loss/value_function": "value_loss",
    "Loss/surrogate": "policy_loss",
    "Loss/entropy": "entropy",
    "Loss/learning_rate": "learning_rate",
    "Loss/kl": "approx_kl",
    "Policy/mean_noise_std": "policy_std",
    "Policy/mean_std": "policy_std",
    "Train/mean_reward": "mean_episode_return",
    "Train/mean_episode_length": "mean_episode_length",
    "Perf/total_fps": "steps_per_second",
}


def _is_rsl_rl(series: Series) -> bool:
    value = series.has("Loss/value_function") or series.has("Loss/value")
    return series.has("Loss/surrogate") or (value and series.has("Train/mean_reward"))


def _rsl_rl(series: Series) -> MetricsLog:
    log, steps = begin(series, "rsl_rl", _RSL_RL)
    log.columns.pop("env_steps", None)  # the axis is the iteration
    log.batches = steps.astype(np.int64)
    task_level(log, series, steps)
    if "value_loss" in log.columns:  # mean of the pessimistic form, no half, reward units
        log.columns["value_rmse"] = np.sqrt(np.abs(log.columns["value_loss"]))
    log.settings["ppo.normalize_returns"] = False  # the library has no return normalizer
    log.notes.append(
        "rsl_rl logs no explained variance: the critic is judged by its loss only, weakly"
    )
    return log


# rl_games --------------------------------------------------------------------------------------

_RL_GAMES = {
    "losses/a_loss": "policy_loss",
    "losses/c_loss": "normalized_value_loss",
    "losses/entropy": "entropy",
    "info/kl": "approx_kl",
    "info/last_lr": "learning_rate",
    "info/e_clip": "clip_range",
    "performance/step_inference_rl_update_fps": "steps_per_second",
    "rewards/step": "mean_episode_return",
    "rewards/frame": "mean_episode_return",
    "episode_lengths/step": "mean_episode_length",
    "episode_lengths/frame": "mean_episode_length",
    "diagnostics/clip_frac": "clip_fraction",
    "diagnostics/exp_var": "explained_variance",
}


def _is_rl_games(series: Series) -> bool:
    return series.has("losses/a_loss") or series.has("losses/c_loss")


def _rl_games(series: Series) -> MetricsLog:
    losses = [t for t in _RL_GAMES if t.startswith(("losses/", "info/")) and series.has(t)]
    log, steps = begin(series, "rl_games", _RL_GAMES, losses)
    if series.has("losses/c1_loss") or series.has("losses/alpha_loss"):
        log.algorithm = "SAC"
    if is_raw(log.get("normalized_value_loss")):
        log.columns["value_loss"] = log.columns.pop("normalized_value_loss")
        log.columns["value_rmse"] = np.sqrt(np.abs(log.columns["value_loss"]))
        log.notes.append("c_loss begins too large for normalized returns: taken for (v - R)^2")
    else:
        log.settings["ppo.normalize_returns"] = True
        log.notes.append("c_loss is taken to be in normalized units (normalize_value, as usual)")
    entropy_relative(log)
    return log


_WRITERS: list[tuple[Callable[[Series], bool], Callable[[Series], MetricsLog]]] = [
    (_is_sb3, _sb3),
    (_is_cleanrl, _cleanrl),
    (_is_rl_games, _rl_games),
    (_is_rsl_rl, _rsl_rl),
]
