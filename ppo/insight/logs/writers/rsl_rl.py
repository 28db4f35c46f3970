"""rsl_rl."""

from __future__ import annotations

import numpy as np

from ppo.insight.logs.columns import begin, root_error, task_level
from ppo.insight.logs.log import MetricsLog
from ppo.insight.logs.series import Series
from ppo.insight.logs.writers import reads

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


@reads(
    "rsl_rl",
    4,
    ("Loss/surrogate",),
    ("Loss/value", "Train/mean_reward"),
    ("Loss/value_function", "Train/mean_reward"),
    names=(_RSL_RL,),
)
def _rsl_rl(series: Series) -> MetricsLog:
    log, steps = begin(series, "rsl_rl", _RSL_RL)
    log.columns.pop("env_steps", None)  # the axis is the iteration
    log.batches = steps.astype(np.int64)
    task_level(log, series, steps)
    root_error(log)  # of the pessimistic form
    log.settings["ppo.normalize_returns"] = False  # the library has no return normalizer
    log.notes.append(
        "rsl_rl logs no explained variance: the critic is judged by its loss only, weakly"
    )
    return log
