"""TorchRL's scripts."""

from __future__ import annotations

from ppo.insight.logs.columns import begin, relative
from ppo.insight.logs.log import MetricsLog
from ppo.insight.logs.series import Series
from ppo.insight.logs.writers import reads

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


@reads(
    "torchrl",
    13,
    ("train/loss_objective",),
    ("train/loss_critic", "train/reward"),
    names=(_TORCHRL,),
)
def _torchrl(series: Series) -> MetricsLog:
    rows = [t for t in ("train/loss_objective", "train/loss_critic") if series.has(t)]
    episodes = [t for t in ("train/reward", "train/episode_length") if series.has(t)]
    log, _ = begin(series, "torchrl", _TORCHRL, rows + episodes)
    return relative(log, "loss_critic has the weight of the critic in it, and may be smooth L1")
