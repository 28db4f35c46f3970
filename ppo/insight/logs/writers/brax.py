"""Brax."""

from __future__ import annotations

from ppo.insight.logs.columns import begin, relative
from ppo.insight.logs.log import MetricsLog
from ppo.insight.logs.series import Series
from ppo.insight.logs.writers import reads

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


@reads(
    "brax",
    12,
    ("training/v_loss",),
    ("eval/episode_reward", "training/"),
    names=(_BRAX, _BRAX_EPISODES),
)
def _brax(series: Series) -> MetricsLog:
    evaluated = series.has("eval/episode_reward")
    names = _BRAX if evaluated else _BRAX | _BRAX_EPISODES
    log, _ = begin(series, "brax", names, ["eval/episode_reward"] if evaluated else None)
    if series.has("training/alpha_loss") or series.has("training/critic_loss"):
        log.algorithm = "SAC"
    return relative(
        log, "returns are those of evaluations; v_loss is a quarter of (v - R)^2 of scaled rewards"
    )
