"""PPO-PyTorch (nikhilbarhate99)."""

from __future__ import annotations

from ppo.insight.logs.columns import begin
from ppo.insight.logs.log import MetricsLog
from ppo.insight.logs.series import Series
from ppo.insight.logs.writers import reads


@reads("ppo_pytorch", 11, ("episode", "reward", "timestep"))
def _ppo_pytorch(series: Series) -> MetricsLog:
    log, steps = begin(series, "ppo-pytorch", {"reward": "mean_episode_return"})
    log.columns["env_steps"] = series.at("timestep", steps)
    series.used.add("episode")
    return log
