"""Sample Factory."""

from __future__ import annotations

from ppo.insight.logs.columns import begin, relative
from ppo.insight.logs.log import MetricsLog
from ppo.insight.logs.series import Series
from ppo.insight.logs.writers import reads

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


@reads(
    "sample_factory",
    14,
    ("train/fraction_clipped",),
    ("reward/reward", "train/kl_divergence"),
    names=(_SAMPLE_FACTORY,),
)
def _sample_factory(series: Series) -> MetricsLog:
    names = {t: n for t, n in _SAMPLE_FACTORY.items() if series.has(t)}
    if "train/actual_lr" in names:  # what the schedule made of the rate
        names.pop("train/lr", None)
    log, _ = begin(series, "sample-factory", names)
    return relative(log, "value_loss is in normalized units (normalize_returns, as usual)")
