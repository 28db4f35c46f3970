"""What each library calls its figures, and in which unit (the same word means different numbers).

Sources: the libraries' own code as of 2026 (Stable-Baselines3 2.9, CleanRL, rsl_rl, rl_games).
A figure whose unit cannot be converted is left out, and a note says so.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from ppo.insight.logs.log import Column, MetricsLog, derive
from ppo.insight.logs.series import Series

GAUSSIAN_ENTROPY = 0.5 * math.log(2 * math.pi * math.e)  # nats, one dimension of deviation 1
MOST_ACTIONS = 64  # more discrete actions than these are not guessed from an entropy
LOG_TOLERANCE = 0.01
UNIFORM_AT_FIRST = (
    0.85  # of log(n): policies start nearly uniform, the first batch lowers it a little
)
GAUSSIAN_TOLERANCE = 0.015  # narrower than the distance between log(4) and one Gaussian dimension


def interpret(series: Series) -> MetricsLog:
    """The series under the contract's names, by whichever library wrote them."""
    for recognizes, read in _WRITERS:
        if recognizes(series):
            log = read(series)
            break
    else:
        log = _by_name(series)
    log.notes = series.notes + log.notes
    log.nonfinite.update(_infinite(log))
    derive(log)
    return log


def _infinite(log: MetricsLog) -> dict[str, Any]:
    marks = {}
    for name, column in log.columns.items():
        bad = np.isinf(column)
        if bad.any():
            marks[name] = bad | log.nonfinite.get(name, np.zeros(len(log), dtype=bool))
            log.columns[name] = np.where(bad, np.nan, column)
    return marks


def _start(series: Series, *tags: str) -> tuple[MetricsLog, Column]:
    steps = series.steps(*tags)
    log = MetricsLog(batches=np.arange(len(steps), dtype=np.int64))
    log.columns["env_steps"] = steps
    return log, steps


def _fill(log: MetricsLog, series: Series, steps: Column, names: dict[str, str]) -> None:
    """Copies tags into columns and remembers where the log itself said NaN."""
    for tag, name in names.items():
        if series.has(tag):
            column = series.at(tag, steps)
            log.columns[name] = column
            points = series.points[tag]
            bad_steps = points[~np.isfinite(points[:, 1]), 0]
            log.nonfinite[name] = np.isin(steps, bad_steps)


# Stable-Baselines3 -----------------------------------------------------------------------------

_SB3_TRAIN = {
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
_SB3_ROLLOUT = {
    "rollout/ep_rew_mean": "mean_episode_return",
    "rollout/ep_len_mean": "mean_episode_length",
    "rollout/success_rate": "success_rate",
    "time/fps": "steps_per_second",
    "eval/mean_reward": "evaluation_return",
}


def _is_sb3(series: Series) -> bool:
    return any(
        series.has(tag)
        for tag in ("train/policy_gradient_loss", "train/clip_range", "rollout/ep_rew_mean")
    )


def _sb3(series: Series) -> MetricsLog:
    train = [tag for tag in _SB3_TRAIN if series.has(tag)]
    rollout = [tag for tag in _SB3_ROLLOUT if series.has(tag) and not tag.startswith("eval/")]
    log, steps = _start(series, *train, *rollout)
    log.writer = "stable-baselines3"
    _fill(log, series, steps, _SB3_ROLLOUT)
    _fill(log, series, steps, _SB3_TRAIN)
    if rollout:  # train/* are logged one iteration late: move them to the batch they belong to
        for name in _SB3_TRAIN.values():
            if name in log.columns:
                log.columns[name] = np.append(log.columns[name][1:], np.nan)
                log.nonfinite[name] = np.append(log.nonfinite[name][1:], False)
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
    _entropy_relative(log, discrete=True)  # a Gaussian policy logs train/std
    log.notes.append(
        "explained variance is before the update; value_loss is (v - R)^2 without a half"
    )
    return log


def _epochs(series: Series) -> int | None:
    """Epochs a batch: `train/n_updates` counts them all; an early stop shortens a batch."""
    points = series.points.get("train/n_updates")
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
_CLEANRL_SETTINGS = {
    "learning_rate": "ppo.learning_rate",
    "num_envs": "env.num_envs",
    "env_id": "env.id",
    "num_steps": "ppo.num_steps",
    "gamma": "ppo.gamma",
    "gae_lambda": "ppo.gae_lambda",
    "num_minibatches": "ppo.num_minibatches",
    "update_epochs": "ppo.num_epochs",
    "clip_coef": "ppo.clip_epsilon",
    "ent_coef": "ppo.entropy_coefficient",
    "vf_coef": "ppo.value_loss_weight",
    "max_grad_norm": "ppo.max_grad_norm",
    "target_kl": "ppo.target_kl",
    "total_timesteps": "train.total_timesteps",
}


def _is_cleanrl(series: Series) -> bool:
    return series.has("losses/value_loss") and (
        series.has("losses/clipfrac")
        or series.has("charts/SPS")
        or series.has("losses/old_approx_kl")
    )


def _cleanrl(series: Series) -> MetricsLog:
    losses = [tag for tag in _CLEANRL if tag.startswith("losses/") and series.has(tag)]
    log, steps = _start(series, *losses)
    log.writer = "cleanrl"
    _fill(log, series, steps, _CLEANRL)
    returns, count = series.mean_between("charts/episodic_return", steps)
    if count.any():
        log.columns["mean_episode_return"] = returns
        log.columns["episodes_ended"] = count
        lengths, _ = series.mean_between("charts/episodic_length", steps)
        log.columns["mean_episode_length"] = lengths
    if "value_loss" in log.columns:  # half of (v - R)^2, of the last minibatch only
        log.columns["value_rmse"] = np.sqrt(2.0 * np.abs(log.columns["value_loss"]))
    settings = _markdown_table(series.texts.get("hyperparameters/text_summary", ""))
    for theirs, ours in _CLEANRL_SETTINGS.items():
        if theirs in settings:
            log.settings[ours] = _plain(settings[theirs])
    if settings.get("clip_vloss") == "True":
        log.settings["ppo.value_clip"] = "absolute"
        log.settings["ppo.value_clip_epsilon"] = log.number("ppo.clip_epsilon")
    elif "clip_vloss" in settings:
        log.settings["ppo.value_clip"] = "none"
    continuous = "continuous" in settings.get("exp_name", "")
    _entropy_relative(log, discrete=False if continuous else None)
    log.notes.append("losses, KL and clip fraction are those of the last minibatch of each batch")
    return log


def _markdown_table(text: str) -> dict[str, str]:
    rows = re.findall(r"^\|([^|\n]+)\|([^|\n]*)\|\s*$", text, flags=re.MULTILINE)
    return {key.strip(): value.strip() for key, value in rows}


def _plain(text: str) -> Any:
    if text in ("True", "False", "None"):
        return {"True": True, "False": False, "None": None}[text]
    try:
        return int(text) if re.fullmatch(r"-?\d+", text) else float(text)
    except ValueError:
        return text


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
    log, steps = _start(series, *[tag for tag in _RSL_RL if series.has(tag)])
    log.writer = "rsl_rl"
    del log.columns["env_steps"]  # the axis is the iteration
    _fill(log, series, steps, _RSL_RL)
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
    log, steps = _start(series, *losses)
    log.writer = "rl_games"
    _fill(log, series, steps, _RL_GAMES)
    log.settings["ppo.normalize_returns"] = True
    log.notes.append("c_loss is taken to be in normalized units (normalize_value: True, as usual)")
    return log


# Anything else: columns that carry the contract's own names, or well-known ones -------------------

_ALIASES = {
    "value_loss": ("vf_loss", "critic_loss", "v_loss"),
    "policy_loss": ("pg_loss", "actor_loss", "policy_gradient_loss", "surrogate_loss"),
    "approx_kl": ("kl", "mean_kl", "kl_divergence"),
    "clip_fraction": ("clipfrac", "clip_frac"),
    "explained_variance": ("vf_explained_var", "ev", "explained_var"),
    "mean_episode_return": (
        "ep_rew_mean",
        "episode_reward_mean",
        "episodic_return",
        "episode_return_mean",
        "mean_reward",
        "return",
    ),
    "mean_episode_length": ("ep_len_mean", "episode_len_mean", "episodic_length"),
    "learning_rate": ("lr", "cur_lr"),
    "policy_std": ("std", "action_std"),
    "grad_norm": ("gn", "gradient_norm", "grad_gnorm"),
    "env_steps": ("global_step", "timesteps_total", "total_timesteps", "num_env_steps"),
}


def _by_name(series: Series) -> MetricsLog:
    names = {alias: name for name, aliases in _ALIASES.items() for alias in aliases}
    chosen: dict[str, str] = {}
    for tag in sorted(series.points, key=len):
        leaf = tag.rsplit("/", 1)[-1]
        name = names.get(leaf, leaf)
        if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) and name not in chosen.values():
            chosen[tag] = name
    log, steps = _start(series, *chosen)
    _fill(log, series, steps, chosen)
    if "value_loss" in log.columns and "normalized_value_loss" not in log.columns:
        log.notes.append(
            "the unit of value_loss is not known: rules that need it in reward units pass"
        )
    _entropy_relative(log)
    return log


def _entropy_relative(log: MetricsLog, discrete: bool | None = None) -> None:
    """Entropy as a share of its maximum (discrete), or the deviation that it implies (Gaussian).

    A log does not say which; the first batches do, as policies start nearly uniform or with
    deviation 1. Where neither fits, nothing is derived.
    """
    if not log.has("entropy") or log.has("entropy_relative") or log.has("policy_std"):
        return
    entropy = log.get("entropy")
    first = float(entropy[np.isfinite(entropy)][0])
    highest = float(np.nanmax(entropy))
    dimensions = max(round(first / GAUSSIAN_ENTROPY), 1)
    near_gaussian = abs(first / (dimensions * GAUSSIAN_ENTROPY) - 1) < GAUSSIAN_TOLERANCE
    if discrete is not True and (near_gaussian or discrete is False):
        log.columns["policy_std"] = np.exp(entropy / dimensions - GAUSSIAN_ENTROPY)
        return
    if not 0 < highest < math.log(MOST_ACTIONS):
        return
    actions = max(math.ceil(math.exp(highest) * (1 - LOG_TOLERANCE)), 2)
    if highest >= UNIFORM_AT_FIRST * math.log(actions):
        log.columns["entropy_relative"] = entropy / math.log(actions)
        log.notes.append(f"entropy's maximum is taken to be log({actions}), from the first batches")


_WRITERS: list[tuple[Callable[[Series], bool], Callable[[Series], MetricsLog]]] = [
    (_is_sb3, _sb3),
    (_is_cleanrl, _cleanrl),
    (_is_rl_games, _rl_games),
    (_is_rsl_rl, _rsl_rl),
]
