"""One file per illness. A rule reads a MetricsLog and says what is wrong, or nothing.

Thresholds are constants of their file with a status: S sourced, M measured, J judgement that
was calibrated on the runs of benchmarks/doctor.py. No threshold has a unit, except where a rule
says so: a critic on raw rewards does depend on their scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ppo.core.registry import Registry
from ppo.insight.logs.log import Column, MetricsLog, to_float
from ppo.insight.remedies import describe

RULES = Registry("ppo.insight.rules")

FATAL, SEVERE, MILD = "fatal", "severe", "mild"
EARLIEST = 5  # batches before which only fatal rules may speak (J)


@dataclass(frozen=True)
class Change:
    """A setting to change: the config key, the value to try, and why or what else to do.

    `times` makes the value of the present one, where the log tells that; `note` stands for it
    where it does not.
    """

    key: str
    value: str = ""
    note: str = ""
    times: float = 0.0


@dataclass(frozen=True)
class Finding:
    """What a rule found; `confidence` is from 0 to 1, `remedies` are best first."""

    illness: str
    severity: str
    since_batch: int
    evidence: str
    remedy: str
    sources: tuple[str, ...] = ()
    confidence: float = 0.8
    explains: tuple[str, ...] = ()


class Rule:
    """A rule; see `ppo/insight/rules/learning_rate_too_high.py` for a plain one.

    Attributes:
        number: place in the causal order; smaller is nearer to the cause.
        needs: alternatives, each a tuple of metrics that must all be present.
        explains: illnesses that follow from this one.
        waits: batches before the rule may speak.
    """

    illness: ClassVar[str]
    number: ClassVar[int]
    needs: ClassVar[tuple[tuple[str, ...], ...]] = ()
    explains: ClassVar[tuple[str, ...]] = ()
    sources: ClassVar[tuple[str, ...]] = ()
    waits: ClassVar[int] = EARLIEST
    severity: ClassVar[str] = SEVERE

    def applies(self, log: MetricsLog) -> bool:
        """Whether the log is long enough and holds what the rule needs."""
        if len(log) < self.waits:
            return False
        return not self.needs or any(log.has(*names) for names in self.needs)

    def check(self, log: MetricsLog) -> Finding | None:
        """The finding, or None for a run that does not have this illness."""
        raise NotImplementedError

    def found(
        self,
        log: MetricsLog,
        row: int,
        evidence: str,
        changes: Sequence[Change],
        confidence: float = 0.8,
        severity: str | None = None,
    ) -> Finding:
        """A finding of this rule, from row `row` of the log on."""
        return Finding(
            self.illness,
            severity or self.severity,
            log.batch(row),
            evidence,
            describe([(c.key, c.value, c.note) for c in _typed(log, changes)], log.writer),
            self.sources,
            confidence,
            self.explains,
        )


def _typed(log: MetricsLog, changes: Sequence[Change]) -> list[Change]:
    """The changes with values to type, without those that the run has already."""
    typed = []
    for change in changes:
        now = present(log, change.key)
        if change.times and np.isfinite(now) and now > 0:
            whole = isinstance(log.settings.get(change.key), int)
            value = str(max(round(now * change.times), 1)) if whole else number(now * change.times)
            change = Change(change.key, value)
        if not _is_set(log, change):
            typed.append(change)
    return typed


def _is_set(log: MetricsLog, change: Change) -> bool:
    """Whether the run has this very value already."""
    current = log.settings.get(change.key)
    if not change.value:
        return False
    same = np.isclose(to_float(change.value), present(log, change.key), rtol=1e-3, atol=0.0)
    return bool(same) or str(current).lower() == change.value.lower()


def present(log: MetricsLog, key: str) -> float:
    """The value of a numeric setting in force: as set, else the median logged, else NaN."""
    told = log.number(key)
    _, logged = known(log.get(key.rpartition(".")[2]))
    return told if np.isfinite(told) or not len(logged) else float(np.median(logged))


def onset(mask: NDArray[np.bool_], k: int, n: int) -> int | None:
    """First row of the first stretch of n rows of which k are marked, itself marked."""
    if len(mask) < n:
        return None
    counts = np.convolve(mask.astype(np.int64), np.ones(n, dtype=np.int64))[n - 1 : len(mask)]
    rows = np.flatnonzero(counts >= k)
    if not len(rows):
        return None
    window = np.flatnonzero(mask[rows[0] : rows[0] + n])
    return int(rows[0] + window[0])


def lasting(mask: NDArray[np.bool_], k: int, n: int, share: float = 0.0) -> int | None:
    """As `onset`, for a condition that still holds or that held for `share` of the run."""
    row = onset(mask, k, n)
    if row is None:
        return None
    now = int(mask[-n:].sum()) >= k
    return row if now or (share > 0 and float(mask.mean()) >= share) else None


def median(column: Column) -> float:
    """Median of the finite values, NaN where there are none."""
    finite = column[np.isfinite(column)]
    return float(np.median(finite)) if len(finite) else float("nan")


def first_finite(column: Column) -> float:
    """The first finite value, or NaN."""
    finite = column[np.isfinite(column)]
    return float(finite[0]) if len(finite) else float("nan")


def known(column: Column) -> tuple[NDArray[np.int64], Column]:
    """Rows and values where the column is finite."""
    rows = np.flatnonzero(np.isfinite(column))
    return rows, column[rows]


def gain(log: MetricsLog) -> float:
    """Rise of the episode return from the first to the last quarter, in standard errors.

    Unit-free: the noise is that of the differences between neighbouring batches. NaN where fewer
    than eight batches have a return.
    """
    _, returns = known(log.get("mean_episode_return"))
    if len(returns) < 8:
        return float("nan")
    quarter = max(len(returns) // 4, 2)
    early, late = returns[:quarter], returns[-quarter:]
    noise = float(np.std(np.diff(returns))) / np.sqrt(2)
    if log.writer == "stable-baselines3":
        noise *= SMOOTHED
    rise = float(np.mean(late) - np.mean(early)) * np.sqrt(quarter)
    spread = max(noise, 1e-9 * float(np.max(np.abs(returns))))
    if spread == 0:
        return 0.0
    return rise / spread


def number(value: float) -> str:
    """A figure for evidence: three digits."""
    if value == 0 or not np.isfinite(value):
        return f"{value:g}"
    return f"{value:.3g}"


SMOOTHED = 3.0  # a mean over 100 episodes hides that much of its noise (J)
RISES = 5.0  # standard errors by which the last quarter's return must exceed the first's (J)


def rises(log: MetricsLog) -> bool:
    """Whether the episode return clearly rises over the log; False where none is logged."""
    return bool(gain(log) > RISES)


ALIKE = 1e-3  # return deviation over the mean return, at most, of a task that is solved (J)


def alike(log: MetricsLog) -> NDArray[np.bool_]:
    """[batches] where all returns are the same return: noise is what is left of every loss."""
    size = np.abs(log.get("return_mean"))
    return (log.get("return_std") < ALIKE * size) & (size > 0)


def normalizes_returns(log: MetricsLog) -> bool | None:
    """Whether the critic is trained on normalized returns; None where the log does not tell."""
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
    for column in (log.get("value_loss_weight"), np.array([log.number("ppo.value_loss_weight")])):
        if np.isfinite(column).any():
            return median(column)
    if log.has("last_minibatch_loss", "policy_loss", "value_loss"):
        rest = log.get("last_minibatch_loss") - log.get("policy_loss")
        with np.errstate(all="ignore"):
            share = rest / log.get("value_loss")
        rows = log.get("value_loss") > LARGE_VALUE_LOSS  # elsewhere the entropy term is in the way
        return median(share[rows])
    return float("nan")


def return_scale(log: MetricsLog) -> Column:
    """The largest deviation of the returns so far: what a deviation of this run is.

    A batch's own deviation will not do: a policy that has solved its task leaves next to none, and
    an error or a drift in units of that looks like a catastrophe.
    """
    spread = log.get("return_std")
    return np.fmax.accumulate(spread) if len(spread) else spread


LARGE_VALUE_LOSS = 1.0
ORDINARY_RATE = (1e-5, 2e-3)  # learning rates that PPO is commonly run with (J)


def ordinary_rate(log: MetricsLog) -> bool:
    """Whether the learning rate is in the common range, or not known."""
    rate = median(log.get("learning_rate"))
    return not np.isfinite(rate) or ORDINARY_RATE[0] <= rate <= ORDINARY_RATE[1]
