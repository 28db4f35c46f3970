"""How the policy is trained: its steps, its clips, and what passes its layers."""

from __future__ import annotations

import numpy as np

from ppo.insight.logs.log import Column, MetricsLog
from ppo.insight.rules._signs import known, median

ORDINARY_RATE = (1e-5, 2e-3)  # learning rates that PPO is commonly run with (J)
NARROWEST = 2  # units of a layer through which hardly anything passes (M: CartPole learns with 4)
FROZEN = 1e-5  # KL below which no rise of the return is the policy's doing (J)
USUAL_CLIP = 0.5  # of gradients (S: Stable-Baselines3)
ROUNDING = 1e-6  # of a KL that is 0 (J)
NARROW_CLIP = 0.05  # clip range, a quarter of the usual, that small steps leave too (J)


def present(log: MetricsLog, key: str) -> float:
    """The value of a numeric setting in force: as set, else the median logged, else NaN."""
    told = log.number(key)
    _, logged = known(log.get(key.rpartition(".")[2]))
    return told if np.isfinite(told) or not len(logged) else float(np.median(logged))


def logged_or_set(log: MetricsLog, column: str, key: str) -> float:
    """A figure as logged, in the median, else as set; NaN where neither is known."""
    logged = median(log.get(column))
    return logged if np.isfinite(logged) else log.number(key)


def ordinary_rate(log: MetricsLog) -> bool:
    """Whether the learning rate is in the common range, or not known."""
    rate = median(log.get("learning_rate"))
    return not np.isfinite(rate) or ORDINARY_RATE[0] <= rate <= ORDINARY_RATE[1]


def cut(log: MetricsLog) -> Column:
    """Length of the gradients over the clip, over the usual one where it is narrower: that one
    cuts every step alike, and Adam makes up for it (M: CartPole learns as well at 0.01)."""
    factor, clip = log.get("grad_clip_factor"), log.number("ppo.max_grad_norm")
    if not log.has("grad_clip_factor"):
        factor = log.get("grad_norm") / clip
    return factor * (clip / USUAL_CLIP if clip < USUAL_CLIP else 1.0)


def one_step(log: MetricsLog) -> bool:
    """Whether a batch is one gradient step, before which KL and clip fraction are 0 whatever it
    does; also where only the number of epochs is known, and KL is nothing at an ordinary rate."""
    epochs, parts = log.number("ppo.num_epochs"), log.number("ppo.num_minibatches")
    nothing = not bool((np.abs(log.get("approx_kl")) > ROUNDING).any()) and ordinary_rate(log)
    return epochs == 1 and (parts == 1 or (bool(np.isnan(parts)) and nothing))


def clip_range(log: MetricsLog) -> float:
    """The policy's clip range, as logged or as set; NaN where neither is known."""
    return logged_or_set(log, "clip_range", "ppo.clip_epsilon")


def bottleneck(log: MetricsLog) -> int:
    """Units of the narrowest layer, where so few that hardly anything passes it; else 0."""
    told = log.setting("network.hidden_sizes")
    sizes = [size for size in told if isinstance(size, int)] if isinstance(told, list) else []
    return min(sizes, default=0) if min(sizes, default=NARROWEST + 1) <= NARROWEST else 0
