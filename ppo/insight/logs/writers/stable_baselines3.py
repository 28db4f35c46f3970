"""Stable-Baselines3 (2.9)."""

from __future__ import annotations

import numpy as np

from ppo.insight.logs.columns import (
    GAUSSIAN_ENTROPY,
    entropy_relative,
    fill,
    root_error,
    rows_apart,
    start,
    task_level,
)
from ppo.insight.logs.log import Column, MetricsLog
from ppo.insight.logs.series import Series
from ppo.insight.logs.writers import reads

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
DOUBT = 0.2  # nats, by which an entropy changes while its batch is trained on (J)
_SB3_OTHERS = {  # tags that its other algorithms write
    "train/critic_loss": "SAC, TD3 or DDPG",
    "rollout/exploration_rate": "DQN",
    "rollout/exploration rate": "DQN",
    "train/policy_loss": "A2C",
    "train/policy_objective": "TRPO",
}
_SB3_PPO = (
    "train/policy_gradient_loss", "train/approx_kl", "train/clip_fraction", "train/clip_range",
)  # fmt: skip


@reads(
    "stable_baselines3",
    1,
    ("train/policy_gradient_loss",),
    ("train/clip_range",),
    ("rollout/ep_rew_mean",),
    ("train/n_updates", "train/entropy_loss"),
    names=(SB3_TRAIN, SB3_ROLLOUT),
)
def _sb3(series: Series) -> MetricsLog:
    train = [tag for tag in SB3_TRAIN if series.has(tag)]
    rollout = [tag for tag in _SB3_ROW if series.has(tag)]
    log, steps = start(series, *(rollout or train))
    log.writer = "stable-baselines3"
    if not any(series.has(tag) for tag in _SB3_PPO):
        others = [name for tag, name in _SB3_OTHERS.items() if series.has(tag)]
        others += ["another algorithm"] if series.has("train/n_updates", "train/value_loss") else []
        log.algorithm = others[0] if others else log.algorithm
    fill(log, series, steps, SB3_ROLLOUT)
    fill(log, series, steps, SB3_TRAIN)
    if series.has("eval/mean_reward"):  # at steps of its own, which are seldom those of a rollout
        log.columns["evaluation_return"] = series.mean_between("eval/mean_reward", steps)[0]
    if rollout:
        _one_late(log, series, steps)
    if "entropy" in log.columns:
        log.columns["entropy"] = -log.columns["entropy"]
        _of_weights(log)
    root_error(log)
    if log.has("clip_range_vf"):
        log.settings["ppo.value_clip"] = "absolute"
        log.settings["ppo.value_clip_epsilon"] = float(np.nanmedian(log.columns["clip_range_vf"]))
    elif log.has("clip_range"):
        log.settings["ppo.value_clip"] = "none"
    rows_apart(log, series.at("time/iterations", steps))  # log_interval
    if (epochs := _epochs(series)) is not None:
        log.settings["ppo.num_epochs"] = epochs
    entropy_relative(log, discrete=True)  # a Gaussian policy logs train/std
    task_level(log, series, steps)
    log.notes.append(
        "explained variance is before the update; value_loss is (v - R)^2 without a half"
    )
    return log


def _of_weights(log: MetricsLog) -> None:
    """With gSDE train/std is that of weights on features, and no deviation of an action.

    Of independent actions the entropy is at most what their mean deviation makes of one of them,
    where that is below 0; where it is more, the deviation is told as a share of its first.
    """
    if not log.has("policy_std"):
        return
    std = log.get("policy_std")
    with np.errstate(invalid="ignore", divide="ignore"):
        most = GAUSSIAN_ENTROPY + np.log(std)
        above = (log.get("entropy") > most + DOUBT)[most < 0]
    if len(above) and above.mean() > 0.5:
        log.columns["policy_std"] = std / std[np.isfinite(std)][0]
        log.notes.append("train/std is that of gSDE's weights: told as a share of its first")


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
    series.used.add("train/n_updates")
    points = series.points.get("train/n_updates")
    if points is None or not len(points):
        return None
    counts = points[np.isfinite(points[:, 1])]
    if len(counts) == 1:
        steps = counts[:, 1]
    else:  # with a log_interval, or a row that is missing, several batches lie between two rows
        steps, batches = np.diff(counts[:, 1]), np.diff(series.at("time/iterations", counts[:, 0]))
        told = batches >= 1
        steps = steps[told] / batches[told] if told.any() else steps
    largest = float(np.max(steps)) if len(steps) else 0.0
    return round(largest) if 1 <= largest <= 1e6 else None
