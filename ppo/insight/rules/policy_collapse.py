"""A policy that was good is good no more."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ppo.core.figures import number
from ppo.insight.logs.columns import stretches
from ppo.insight.logs.log import Column, MetricsLog
from ppo.insight.rules import SLOWER, Change, Finding, Rule, rule
from ppo.insight.rules._returns import OUTSIDE, batch_noise, begins_late, harder, window
from ppo.insight.rules._signs import known, median

LOST = 0.25  # of the best gain, for good (J)
HALF = 0.5  # of the best gain, for a time or again and again (J)
MUCH = 0.4  # of the best return, where the log does not show from where it came (J)
AWHILE = 0.15  # of the run
AGAIN = 3  # times
STAYS = 10  # batches
STAYS_HALF = 6  # batches for which half must be lost
FALLS = 3.0  # times that noise that the fall must be (J)
CLEAR = 5.0  # times the noise between batches that the gain must have been (J)
SMOOTH = 5  # batches
MOST = 0.8  # of the best gain, in each of the last batches (J)
CRASH = 3  # batches
SLOW = 0.1  # of the run, in which half of a loss that may be the environment's doing comes (J)
MOVERS = (
    "approx_kl", "value_rmse", "error_over_std", "return_drift", "reward_outlier", "grad_norm",
)  # fmt: skip
MOVED = 5.0  # times its own median
CHANGES = (
    SLOWER,
    Change("ppo.target_kl", "0.01"),
    Change("ppo.learning_rate_schedule", "linear", "and resume from the best checkpoint"),
)
DRIFT = Change("", "", OUTSIDE)


@rule("policy_collapse")
class PolicyCollapse(Rule):
    number = 19
    waits = 2 * STAYS
    needs = (("mean_episode_return",),)
    sources = ("Stable-Baselines3 #324", "hill-a #837")

    def check(self, log: MetricsLog) -> Finding | None:
        rows, returns = known(log.get("mean_episode_return"))
        if len(returns) < 2 * STAYS or harder(log, int(rows[np.argmax(returns)])):
            return None
        smooth = np.convolve(returns, np.full(SMOOTH, 1 / SMOOTH), mode="valid")
        if begins_late(log) and _plateau(smooth):
            return None
        if (found := self._in_between(log, rows, returns, smooth)) is not None:
            return found
        top = int(np.argmax(smooth))
        # the start is the lowest of the run up to the top: a first batch may be lucky
        lowest = int(np.argmin(smooth[: top + 1]))
        best, start = float(smooth[top]), float(smooth[lowest])
        noise = _noise(log, returns)
        after = smooth[top:]
        if best - start < CLEAR * noise[lowest] or best - start <= 0 or len(after) < STAYS:
            return self._at_the_end(log, rows, returns)
        gained, stays = best - start, max(STAYS, len(smooth) // 10)
        half = bool((after[-STAYS_HALF:] < best - HALF * gained).all())
        for_good = len(after) >= stays and bool((after[-stays:] < best - LOST * gained).all())
        if not (half or for_good) or best - median(after[-STAYS_HALF:]) < FALLS * noise[-1]:
            return self._at_the_end(log, rows, returns)
        lost = LOST * gained
        fall = top + int(np.flatnonzero(after < best - lost)[0])
        row = int(rows[min(top + SMOOTH - 1, len(rows) - 1)])
        evidence = f"return {number(start)} -> {number(best)} -> {number(float(smooth[-1]))}"
        moved = _first_mover(log, row, int(rows[fall]))
        if moved:
            evidence += f"; {moved} moved first"
        slowly, changes = _pace(log, after)
        return self.found(log, row, evidence + slowly, changes, confidence=0.7)

    def _at_the_end(
        self, log: MetricsLog, rows: NDArray[np.int64], returns: Column
    ) -> Finding | None:
        """Nearly all that was gained is lost in the last batches, too few to wait for."""
        top = int(np.argmax(returns))
        best, start = float(returns[top]), float(np.min(returns[: top + 1]))
        noise = float(np.median(np.abs(np.diff(returns)))) * 1.5  # a crash is no noise
        noise *= np.sqrt(window(log))
        gained = best - start
        lost = bool((returns[-CRASH:] < best - MOST * gained).all())
        if not lost or gained < 2 * CLEAR * noise or len(returns) - 1 - top < CRASH:
            return None
        evidence = f"return {number(start)} -> {number(best)} -> {number(float(returns[-1]))}"
        return self.found(log, int(rows[top]), evidence, CHANGES, confidence=0.6)

    def _in_between(
        self, log: MetricsLog, rows: NDArray[np.int64], returns: Column, smooth: Column
    ) -> Finding | None:
        """A return that was lost by half for long, or again and again, though it came back."""
        noise = _noise(log, returns)
        best = np.maximum.accumulate(smooth)
        tops = np.maximum.accumulate(np.where(smooth == best, np.arange(len(smooth)), 0))
        lowest = np.minimum.accumulate(smooth)
        lows = np.maximum.accumulate(np.where(smooth == lowest, np.arange(len(smooth)), 0))[tops]
        start = smooth[lows]  # the lowest before the best, not after it
        gained = best - start
        low = (gained > 2 * CLEAR * noise[lows]) & (smooth < best - HALF * gained)
        falls = [(a, b) for a, b in stretches(low) if b - a >= SMOOTH]
        longest = max((b - a for a, b in falls), default=0)
        if longest < max(2 * STAYS, AWHILE * len(smooth)) and len(falls) < AGAIN:
            return None
        at = falls[0][0]
        evidence = f"return {number(float(start[at]))} -> {number(float(best[at]))}"
        evidence += f" -> {number(float(np.min(smooth[at:])))}"
        evidence += f", {len(falls)} times" if len(falls) > 1 else ""
        row = int(rows[min(at + SMOOTH - 1, len(rows) - 1)])
        slowly, changes = _pace(log, smooth[tops[at] :]) if len(falls) == 1 else ("", CHANGES)
        return self.found(log, row, evidence + slowly, changes, confidence=0.6)


def _pace(log: MetricsLog, after: Column) -> tuple[str, tuple[Change, ...]]:
    """Words for a loss that comes slowly, and what to change then: it may be the environment's."""
    batches = int(np.argmax(after < (after[0] + np.min(after)) / 2))
    if batches <= max(SLOW * len(log), window(log)):
        return "", CHANGES
    return f"; slowly, half of it in {batches} batches", (SLOWER, DRIFT, *CHANGES[1:])


def _plateau(smooth: Column) -> bool:
    """Whether the returns end near their best: how much was won before is not seen."""
    best, end = float(np.max(smooth)), float(np.median(smooth[-STAYS_HALF:]))
    return best - end < MUCH * abs(best)


def _noise(log: MetricsLog, returns: Column) -> Column:
    """Standard deviation by chance of the difference between each smoothed return and another.

    A mean over many episodes drifts by itself, the more the fewer have ended so far.
    """
    whole = np.ones(len(returns) - SMOOTH + 1)
    if (rows := window(log)) == 1:
        return whole * float(np.mean(np.abs(np.diff(returns)))) * 1.25
    batches = np.arange(len(whole)) + SMOOTH
    return whole * batch_noise(log) * np.sqrt(2 / np.minimum(batches, rows))


def _first_mover(log: MetricsLog, top: int, fall: int) -> str:
    """The metric that left its usual range first around the fall."""
    first: dict[str, int] = {}
    for name in MOVERS:
        column: Column = log.get(name)
        usual = median(column[: top + 1])
        rows = np.flatnonzero(column[top : fall + 1] > MOVED * usual)
        if usual > 0 and len(rows):
            first[name] = int(rows[0])
    return min(first, key=lambda name: first[name]) if first else ""
