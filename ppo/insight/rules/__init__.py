"""One file per illness. A rule reads a MetricsLog and returns a finding, or nothing.

Thresholds are constants of their file with a status: S sourced, M measured, J judgement that
was calibrated on the runs of benchmarks/doctor.py. No threshold has a unit, except where a rule
says so: a critic on raw rewards does depend on their scale.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeVar

import numpy as np

from ppo.core.elsewhere import ELSEWHERE, VALUES
from ppo.core.figures import setting
from ppo.core.registry import Registry
from ppo.insight.logs.log import MetricsLog, to_float
from ppo.insight.rules._policy import present

RULES = Registry("ppo.insight.rules")

FATAL, SEVERE, MILD = "fatal", "severe", "mild"
LAST = 99  # number of a rule that claims no place
EARLIEST = 5  # batches before which only fatal rules may speak (J)
ELSE = "; else "  # between two remedies
PYTHON = frozenset(ELSEWHERE) - {"ml-agents"}  # whose settings are typed as Python's words

Kind = TypeVar("Kind", bound="type[Rule]")


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


SLOWER = Change("ppo.learning_rate", "", "a third of what it was", times=1 / 3)


@dataclass(frozen=True)
class Finding:
    """What a rule found; `confidence` is from 0 to 1, `remedy` holds the best first."""

    illness: str
    severity: str
    since_batch: int
    evidence: str
    remedy: str
    sources: tuple[str, ...] = ()
    confidence: float = 0.8
    explains: tuple[str, ...] = ()

    @property
    def remedies(self) -> list[str]:
        """The remedy to try first, then the others."""
        return self.remedy.split(ELSE)

    @property
    def line(self) -> str:
        """All of it that a user needs, in one line."""
        return f"{self.illness} since batch {self.since_batch}: {self.evidence}; try {self.remedy}"


class Rule:
    """A rule; see `ppo/insight/rules/critic_overfits.py` for a plain one.

    Attributes:
        illness: what it finds, under which it is filed.
        number: place in the causal order; smaller is nearer to the cause. It decides between
            findings that `explains`, severity and the first batch leave level.
        needs: alternatives, each a tuple of metrics that must all be present.
        explains: illnesses that follow from this one.
        waits: batches before the rule may speak.
    """

    illness: ClassVar[str]
    number: ClassVar[int] = LAST
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
        explains: Sequence[str] | None = None,
    ) -> Finding:
        """A finding of this rule, from row `row` of the log on.

        Args:
            severity, explains: where they are not those of the rule.
        """
        return Finding(
            self.illness,
            severity or self.severity,
            log.batch(row),
            evidence,
            describe(_typed(log, changes), log.writer),
            self.sources,
            confidence,
            self.explains if explains is None else tuple(explains),
        )


def rule(illness: str) -> Callable[[Kind], Kind]:
    """Decorator that files a rule under the illness that it finds."""

    def keep(kind: Kind) -> Kind:
        kind.illness = illness
        RULES.register(illness)(kind)
        return kind

    return keep


def _typed(log: MetricsLog, changes: Sequence[Change]) -> list[Change]:
    """The changes with values to type, without those that the run has already."""
    typed = []
    for change in changes:
        now = present(log, change.key)
        if change.times and np.isfinite(now) and now > 0:
            whole = isinstance(log.settings.get(change.key), int)
            value = str(max(round(now * change.times), 1)) if whole else setting(now * change.times)
            change = Change(change.key, value)
        if not _is_set(log, change):
            typed.append(change)
    return typed


def _is_set(log: MetricsLog, change: Change) -> bool:
    """Whether the run has this very value already."""
    if not change.value:
        return False
    same = np.isclose(to_float(change.value), present(log, change.key), rtol=1e-3, atol=0.0)
    told = str(log.settings.get(change.key, ""))  # a choice may be None
    return bool(same) or told.lower() == change.value.lower()


def describe(changes: Sequence[Change], writer: str) -> str:
    """Changes as one line, in the words of a library; those without a counterpart are left out."""
    parts = [_part(change.key, change.value, change.note, writer) for change in changes]
    told = list(dict.fromkeys(part for part in parts if part))
    return ELSE.join(told or ["look at what reward and observation hold"])


def _part(key: str, value: str, note: str, writer: str) -> str:
    if not key:
        return note
    name = key
    if writer != "ppo":
        names = ELSEWHERE.get(writer)
        common = any(key in words for words in ELSEWHERE.values())  # ours alone are of no use
        name = names.get(key, "") if names else key.rpartition(".")[2] if common else ""
        if not name:
            return ""
    value = VALUES.get((writer, key, value), value)
    if value in ("true", "false") and writer in PYTHON:
        value = value.capitalize()
    what = f"{name}={value}" if value else name
    if "..." in name:
        what = name.replace("...", value)
    elif "=" in name or " in the scene" in name or value == "True" and _is_wrapper(name):
        what = name  # the value is in their words already
    return f"{what} ({note})" if note else what


def _is_wrapper(name: str) -> bool:
    """Whether what is to be true is a class to put around the environment."""
    return name.split()[0].rpartition(".")[2][:1].isupper()
