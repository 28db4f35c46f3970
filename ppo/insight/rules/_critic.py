"""Signs of the critic: what it is trained on, what it weighs and what it has learned."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ppo.insight.logs.log import Column, MetricsLog
from ppo.insight.rules._policy import logged_or_set
from ppo.insight.rules._returns import ALIKE
from ppo.insight.rules._signs import first_finite, known, median

TRIFLE = 0.1  # of an episode's return, below which an error of the critic is no matter (J)
LARGE_VALUE_LOSS = 1.0
LEARNS = 0.8  # of its first error, below which a critic moves (J)
ERRORS = 20  # that show it (J)


def trifling(log: MetricsLog, error: float) -> bool:
    """Whether an error of the critic is little beside the return of an episode, so that it may
    grow many times and yet be harmless: that of a task which is solved."""
    return error < TRIFLE * median(np.abs(log.get("mean_episode_return")))


def left(errors: Column) -> float:
    """What is left of an error in the end, as a share of its first; NaN where none is known."""
    return float(np.divide(median(errors[np.isfinite(errors)][-5:]), first_finite(errors)))


def stands(log: MetricsLog) -> bool:
    """Whether the critic has not even learned the mean of its targets.

    Where no reward arrives a critic that is trained makes its error vanish.
    """
    _, errors = known(log.get("value_rmse"))
    return len(errors) >= ERRORS and median(errors[-5:]) > LEARNS * median(errors[:5])


def alike(log: MetricsLog) -> NDArray[np.bool_]:
    """[batches] where all returns are the same return: noise is what is left of every loss."""
    size = np.abs(log.get("return_mean"))
    return (log.get("return_std") < ALIKE * size) & (size > 0)


def normalizes_returns(log: MetricsLog) -> bool | None:
    """Whether the critic is trained on normalized returns; None where the log does not show it."""
    setting = log.setting("ppo.normalize_returns")
    if isinstance(setting, bool):
        return setting
    if log.has("target_std", "return_std"):
        ratio = median(log.get("target_std")) / max(median(log.get("return_std")), 1e-300)
        return not 0.999 < ratio < 1.001
    return None if log.writer == "ppo" else False


def value_weight(log: MetricsLog) -> float:
    """The value loss's weight: as logged, as set, or as SB3's total loss implies; else NaN.

    SB3's train/loss is that of the last minibatch, so that the estimate is rough; its median over
    the batches is within a factor of two on the runs that were tried.
    """
    weight = logged_or_set(log, "value_loss_weight", "ppo.value_loss_weight")
    if np.isnan(weight) and log.has("last_minibatch_loss", "policy_loss", "value_loss"):
        loss = log.get("value_loss")
        share = (log.get("last_minibatch_loss") - log.get("policy_loss")) / loss
        return median(share[loss > LARGE_VALUE_LOSS])  # elsewhere the entropy is in the way
    return weight


def return_scale(log: MetricsLog) -> Column:
    """The largest standard deviation of the returns so far, the unit of this run.

    A batch's own will not do: a policy that has solved its task leaves next to none, and
    an error or a drift in units of that looks like a catastrophe.
    """
    spread = log.get("return_std")
    return np.fmax.accumulate(spread) if len(spread) else spread
