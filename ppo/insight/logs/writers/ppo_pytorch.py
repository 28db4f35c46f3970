"""PPO-PyTorch (nikhilbarhate99)."""

from __future__ import annotations

from ppo.insight.logs.columns import begin
from ppo.insight.logs.log import MetricsLog
from ppo.insight.logs.series import Series
from ppo.insight.logs.writers import WRITERS, Writer


def _is_ppo_pytorch(series: Series) -> bool:
    return series.has("episode", "reward") and "timestep" in series.points


def _ppo_pytorch(series: Series) -> MetricsLog:
    log, steps = begin(series, "ppo-pytorch", {"reward": "mean_episode_return"})
    log.columns["env_steps"] = series.at("timestep", steps)
    series.used.add("episode")
    return log


WRITERS.register("ppo_pytorch")(Writer(11, _is_ppo_pytorch, _ppo_pytorch))
