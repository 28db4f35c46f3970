"""Schedules: pure functions of the progress of a run."""

from __future__ import annotations


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
