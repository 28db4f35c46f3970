"""Dialects whose value loss has no known unit: Brax, TorchRL's scripts, Sample Factory."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ppo.insight.logs.columns import begin, entropy_relative
from ppo.insight.logs.log import MetricsLog
from ppo.insight.logs.series import Series

_BRAX = {
    "eval/episode_reward": "mean_episode_return",
    "eval/avg_episode_length": "mean_episode_length",
    "training/policy_loss": "policy_loss",
    "training/v_loss": "value_loss",
    "training/kl_mean": "approx_kl",
    "training/learning_rate": "learning_rate",
    "training/policy_dist_mean_std": "policy_std",
    "training/sps": "steps_per_second",
}
_BRAX_EPISODES = {  # where no evaluation is run
    "episode/sum_reward": "mean_episode_return",
    "episode/length": "mean_episode_length",
}
_TORCHRL = {
    "train/reward": "mean_episode_return",
    "train/episode_length": "mean_episode_length",
    "train/loss_critic": "value_loss",
    "train/loss_objective": "policy_loss",
    "train/entropy": "entropy",
    "train/lr": "learning_rate",
    "train/kl_approx": "approx_kl",
    "train/clip_fraction": "clip_fraction",
    "train/clip_epsilon": "clip_range",
    "train/grad_norm": "grad_norm",
    "eval/reward": "evaluation_return",
}
_SAMPLE_FACTORY = {
    "reward/reward": "mean_episode_return",
    "len/len": "mean_episode_length",
    "train/value_loss": "value_loss",
    "train/policy_loss": "policy_loss",
    "train/entropy": "entropy",
    "train/kl_divergence": "approx_kl",
    "train/fraction_clipped": "clip_fraction",
    "train/actual_lr": "learning_rate",
    "train/lr": "learning_rate",
}


def _relative(log: MetricsLog, why: str) -> MetricsLog:
    """A root error that can be compared with itself only, and a note that says why."""
    if "value_loss" in log.columns:
        log.columns["value_rmse"] = np.sqrt(np.abs(log.columns["value_loss"]))
    entropy_relative(log)
    log.notes.append(why)
    return log


def _is_brax(series: Series) -> bool:
    return series.has("training/v_loss") or (
        series.has("eval/episode_reward") and any(t.startswith("training/") for t in series.points)
    )


def _brax(series: Series) -> MetricsLog:
    evaluated = series.has("eval/episode_reward")
    names = _BRAX if evaluated else _BRAX | _BRAX_EPISODES
    log, _ = begin(series, "brax", names, ["eval/episode_reward"] if evaluated else None)
    if series.has("training/alpha_loss") or series.has("training/critic_loss"):
        log.algorithm = "SAC"
    return _relative(
        log, "returns are those of evaluations; v_loss is a quarter of (v - R)^2 of scaled rewards"
    )


def _is_torchrl(series: Series) -> bool:
    return series.has("train/loss_objective") or series.has("train/loss_critic", "train/reward")


def _torchrl(series: Series) -> MetricsLog:
    rows = [t for t in ("train/loss_objective", "train/loss_critic") if series.has(t)]
    episodes = [t for t in ("train/reward", "train/episode_length") if series.has(t)]
    log, _ = begin(series, "torchrl", _TORCHRL, rows + episodes)
    return _relative(log, "loss_critic has the weight of the critic in it, and may be smooth L1")


def _is_sample_factory(series: Series) -> bool:
    return series.has("train/fraction_clipped") or series.has(
        "reward/reward", "train/kl_divergence"
    )


def _sample_factory(series: Series) -> MetricsLog:
    names = {t: n for t, n in _SAMPLE_FACTORY.items() if series.has(t)}
    if "train/actual_lr" in names:  # what the schedule made of the rate
        names.pop("train/lr", None)
    log, _ = begin(series, "sample-factory", names)
    return _relative(log, "value_loss is in normalized units (normalize_returns, as usual)")


FURTHER: list[tuple[Callable[[Series], bool], Callable[[Series], MetricsLog]]] = [
    (_is_brax, _brax),
    (_is_torchrl, _torchrl),
    (_is_sample_factory, _sample_factory),
]
