"""Schedules: pure functions of the progress of a run."""

from __future__ import annotations

from ppo.config import PPOConfig


def scheduled(start: float, kind: str, progress: float) -> float:
    """The value of a schedule.

    Args:
        start: value at the beginning.
        kind: "constant" (also "kl", whose factor the learner keeps), or "linear" for one that
            falls to 0.
        progress: share of the run that is done, in [0, 1].
    """
    if kind == "linear":
        return start * max(0.0, 1.0 - progress)
    assert kind in ("constant", "kl"), kind
    return start


def in_force(config: PPOConfig, progress: float, factor: float) -> dict[str, float]:
    """The numbers that schedules move, by their names in `Knobs`.

    Args:
        factor: further factor of the learning rate, beside its schedule.
    """
    rate = scheduled(config.learning_rate, config.learning_rate_schedule, progress)
    return {
        "learning_rate": rate * factor,
        "clip_epsilon": scheduled(config.clip_epsilon, config.clip_schedule, progress),
        "entropy_coefficient": config.entropy_coefficient,
    }
