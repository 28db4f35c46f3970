"""Whether a run solves its environment, by its evaluations."""

from __future__ import annotations

import numpy as np

from ppo.insight.logs.log import Column, MetricsLog
from ppo.insight.rules._returns import ALIKE, LAST, LATE, SAW, begins_late, starts_sure
from ppo.insight.rules._signs import first_finite, known, median

BEST, LOST = 0.9, 0.1  # quantile of the returns, and the part that the end may be below it (J)


def solved_at(log: MetricsLog) -> float | None:
    """The return at which Gymnasium counts the environment as solved, where that is known.

    One with arguments of its own may pay other rewards.
    """
    import gymnasium

    spec = gymnasium.registry.get(str(log.setting("env.id")))
    return None if spec is None or log.setting("env.kwargs") else spec.reward_threshold


def evaluations(log: MetricsLog) -> Column:
    """The returns of the evaluations, in order."""
    of_others = log.has("evaluation_return")  # who may have evaluated with other statistics
    return known(log.get("evaluation_return" if of_others else "played_return"))[1]


def solved(log: MetricsLog) -> bool:
    """Whether the policy solves the environment in the last evaluation."""
    threshold, played = solved_at(log), evaluations(log)
    return threshold is not None and len(played) > 0 and bool(played[-1] >= threshold)


def goes_on(log: MetricsLog) -> bool:
    """Whether a policy that is sure from the start wins something: it was trained before."""
    return starts_sure(log) and first_finite(log.get("mean_episode_return")) > 0


def stays_solved(log: MetricsLog) -> bool:
    """Whether such a policy reaches one and the same return every time."""
    returns = log.returns()
    return goes_on(log) and bool(np.ptp(returns) < ALIKE * np.max(np.abs(returns)))


def keeps(log: MetricsLog) -> bool:
    """Whether a policy that was trained before is about as good at the end as it ever was, and its
    critic sees."""
    returns = log.returns()
    sees = median(log.get("explained_variance")[-LATE:]) > SAW
    if not len(returns) or not sees or not (goes_on(log) or begins_late(log)):
        return False
    best = max(float(np.mean(returns[:LAST])), float(np.quantile(returns, BEST)))
    return bool(median(returns[-LAST:]) > best - LOST * abs(best))
