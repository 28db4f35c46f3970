"""Whether a run solves its environment, by its evaluations."""

from __future__ import annotations

from ppo.insight.logs.log import Column, MetricsLog
from ppo.insight.rules._signs import known


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
