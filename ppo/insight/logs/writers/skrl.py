"""skrl."""

from __future__ import annotations

from ppo.insight.logs.columns import begin, between, is_raw, raw_error
from ppo.insight.logs.log import MetricsLog
from ppo.insight.logs.series import Series
from ppo.insight.logs.writers import reads

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


@reads("skrl", 6, pattern=r"^(Loss|Reward) / ", names=(_SKRL_LOSSES, _SKRL_SUMMARY))
def _skrl(series: Series) -> MetricsLog:
    losses = [tag for tag in _SKRL_LOSSES if series.has(tag)]
    log, steps = begin(
        series, "skrl", _SKRL_LOSSES, losses or [t for t in _SKRL_SUMMARY if series.has(t)]
    )
    log.columns.pop("env_steps", None)  # the axis counts steps of each environment
    between(log, series, steps, _SKRL_SUMMARY)
    if not log.has("mean_episode_return"):
        step_reward = "Reward / Instantaneous reward (mean)"
        between(log, series, steps, {step_reward: "mean_episode_return"})
        log.notes.append("no episode's return is logged: the mean reward of a step stands for it")
    if series.has("Loss / Critic loss"):
        log.algorithm = "SAC, TD3 or DDPG"
    if is_raw(log.get("value_loss")):
        raw_error(log)
    else:
        log.notes.append("the value loss may be in normalized units: rules that need its unit pass")
    return log
