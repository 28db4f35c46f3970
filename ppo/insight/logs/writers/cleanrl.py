"""CleanRL, and PufferLib, whose losses have the same names."""

from __future__ import annotations

import re

import numpy as np

from ppo.core.elsewhere import settings_of
from ppo.insight.logs.columns import begin, entropy_relative, fill, plain, root_error, rows_apart
from ppo.insight.logs.log import Column, MetricsLog
from ppo.insight.logs.names import in_parts
from ppo.insight.logs.series import Series
from ppo.insight.logs.writers import reads

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
_PUFFERLIB = {  # beside the losses, which have CleanRL's names
    "environment/episode_return": "mean_episode_return",
    "environment/episode_length": "mean_episode_length",
    "environment/score": "mean_episode_return",
    "learning_rate": "learning_rate",
    "SPS": "steps_per_second",
}


@reads(
    "cleanrl",
    2,
    ("charts/episodic_return",),
    ("losses/value_loss", "losses/clipfrac"),
    ("losses/value_loss", "charts/SPS"),
    ("losses/value_loss", "losses/old_approx_kl"),
    names=(_CLEANRL, _PUFFERLIB),
)
def _cleanrl(series: Series) -> MetricsLog:
    losses = [tag for tag in _CLEANRL if tag.startswith("losses/") and series.has(tag)]
    if not losses:
        return _cleanrl_returns(series)
    log, steps = begin(series, "cleanrl", _CLEANRL, losses)
    if any(series.has(tag) for tag in _PUFFERLIB):
        return _pufferlib(log, series, steps)
    returns, count = series.mean_between("charts/episodic_return", steps)
    if count.any():
        log.columns["mean_episode_return"] = returns
        log.columns["episodes_ended"] = count
        lengths, _ = series.mean_between("charts/episodic_length", steps)
        log.columns["mean_episode_length"] = lengths
    root_error(log, times=2.0)
    settings = _markdown_table(series.texts.get("hyperparameters/text_summary", ""))
    names = settings_of("cleanrl")
    for theirs, value in settings.items():
        if theirs not in ("param", "-"):  # the head of the table
            log.settings[names.get(theirs, f"cleanrl.{theirs}")] = plain(value)
    if settings.get("clip_vloss") == "True":
        log.settings["ppo.value_clip"] = "absolute"
        if np.isfinite(epsilon := log.number("ppo.clip_epsilon")):
            log.settings["ppo.value_clip_epsilon"] = epsilon
    elif "clip_vloss" in settings:
        log.settings["ppo.value_clip"] = "none"
    if np.isfinite(weight := log.number("ppo.value_loss_weight")):
        log.columns["value_loss_weight"] = np.full(len(log), weight)
    rows_apart(log, steps, log.number("ppo.num_steps") * log.number("env.num_envs"))
    continuous = "continuous" in settings.get("exp_name", "")
    entropy_relative(log, discrete=False if continuous else None)
    log.notes.append("losses, KL and clip fraction are those of the last minibatch of each batch")
    return log


def _pufferlib(log: MetricsLog, series: Series, steps: Column) -> MetricsLog:
    """Losses are means over a batch; what episodes came to stands under environment/."""
    log.writer = "pufferlib"
    names = {tag: name for tag, name in _PUFFERLIB.items() if series.has(tag)}
    if "environment/episode_return" in names:
        names.pop("environment/score", None)
    fill(log, series, steps, names)
    root_error(log, times=2.0)
    entropy_relative(log)
    return log


def _cleanrl_returns(series: Series) -> MetricsLog:
    """What its scripts print, or one chart of it: an episode a row."""
    names = {"charts/episodic_return": "mean_episode_return"}
    if series.has("charts/episodic_length"):
        names["charts/episodic_length"] = "mean_episode_length"
    log = in_parts(series, names)
    log.writer = "cleanrl"
    log.notes.append("returns alone: whether it was PPO that wrote them is not known")
    return log


def _markdown_table(text: str) -> dict[str, str]:
    rows = re.findall(r"^\|([^|\n]+)\|([^|\n]*)\|\s*$", text, flags=re.MULTILINE)
    return {key.strip(): value.strip() for key, value in rows}
