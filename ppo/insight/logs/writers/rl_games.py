"""rl_games."""

from __future__ import annotations

from ppo.insight.logs.columns import begin, entropy_relative, is_raw, root_error
from ppo.insight.logs.log import MetricsLog
from ppo.insight.logs.series import Series
from ppo.insight.logs.writers import reads

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


@reads("rl_games", 3, ("losses/a_loss",), ("losses/c_loss",), names=(_RL_GAMES,))
def _rl_games(series: Series) -> MetricsLog:
    losses = [t for t in _RL_GAMES if t.startswith(("losses/", "info/")) and series.has(t)]
    log, steps = begin(series, "rl_games", _RL_GAMES, losses)
    if series.has("losses/c1_loss") or series.has("losses/alpha_loss"):
        log.algorithm = "SAC"
    if is_raw(log.get("normalized_value_loss")):
        log.columns["value_loss"] = log.columns.pop("normalized_value_loss")
        root_error(log)
        log.notes.append("c_loss begins too large for normalized returns: taken for (v - R)^2")
    else:
        log.settings["ppo.normalize_returns"] = True
        log.notes.append("c_loss is taken to be in normalized units (normalize_value, as usual)")
    entropy_relative(log)
    return log
