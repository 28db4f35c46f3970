"""Says what is wrong with a run, since which batch, and which setting to change."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ppo.core.figures import number
from ppo.core.metrics import clean
from ppo.insight.logs import MetricsLog, from_records
from ppo.insight.logs.columns import entropy_relative
from ppo.insight.logs.own import flatten, read_run
from ppo.insight.rules import FATAL, LAST, MILD, RULES, SEVERE, Finding, Rule
from ppo.insight.rules._returns import begins_late, rises, trained_before
from ppo.insight.rules._solved import evaluations
from ppo.insight.verdict import (
    HEALTHY,
    NOT_LEARNING,
    NOT_READ,
    TOO_EARLY,
    WORDS,
    ends,
    is_read,
    status,
    unsolved,
)

MOST = 3  # findings that are reported; the first is the cause
LATEST = 3  # evaluations
FAR_APART = 0.5  # of the range of the returns in training (J)
VAGUE = 0.5  # confidence of a mild finding that is less than that nothing is learned (J)
TAGS = 8  # unknown tags that are named
_RANK = {FATAL: 0, SEVERE: 1, MILD: 2}


def rules() -> list[Rule]:
    """Every rule, in causal order."""
    return sorted((RULES.get(name)() for name in RULES.names()), key=lambda rule: rule.number)


def diagnose(log: MetricsLog) -> list[Finding]:
    """All findings, the cause first; empty for a healthy run.

    Order: fatal ones; then those that no other finding explains, first those which explain
    others; then by severity and by the batch where they began. A log of another algorithm has
    none: the rules are about PPO.
    """
    return rank(_check(rules(), log)) if is_read(log) else []


class Verdict(NamedTuple):
    """The judgement of a run at its end."""

    status: str  # one of verdict.STATUSES
    text: str
    findings: list[Finding]


def judge(run: Path) -> Verdict:
    """The verdict on a run folder, as `--mode diagnose` gives it."""
    log = read_run(run)
    findings = diagnose(log)
    return Verdict(status(log, findings), _verdict_line(log, findings), findings)


def _check(some: Iterable[Rule], log: MetricsLog) -> list[Finding]:
    findings = []
    with np.errstate(all="ignore"):  # foreign figures overflow and divide by zero
        for rule in some:
            if rule.applies(log):
                finding = rule.check(log)
                if finding is not None:
                    findings.append(finding)
    # a return that stands still is named where nothing explains it, or a vague guess alone
    explained = [f for f in findings if f.illness != NOT_LEARNING]
    vague = all(f.severity == MILD and f.confidence < VAGUE for f in explained)
    return findings if vague else explained


def rank(findings: list[Finding]) -> list[Finding]:
    """Causes before what they explain."""
    numbers = {rule.illness: rule.number for rule in rules()}
    present = {finding.illness for finding in findings}

    def effects(finding: Finding) -> set[str]:
        explained = present if "*" in finding.explains else present & set(finding.explains)
        return explained - {finding.illness}

    def claim(finding: Finding) -> tuple[int, float, int]:  # of two that explain each other
        return _RANK[finding.severity], -finding.confidence, numbers.get(finding.illness, LAST)

    def outranks(cause: Finding, effect: Finding) -> bool:
        if effect.illness not in effects(cause) or _RANK[cause.severity] > _RANK[effect.severity]:
            return False
        mutual = cause.illness in effects(effect)
        return not mutual or claim(cause) < claim(effect)

    explained = {e.illness for e in findings for c in findings if outranks(c, e)}
    return sorted(
        findings,
        key=lambda f: (
            f.severity != FATAL,
            f.illness in explained,
            _RANK[f.severity],
            not effects(f),
            f.since_batch,
            numbers.get(f.illness, LAST),
        ),
    )


def unasked(log: MetricsLog) -> dict[str, tuple[str, ...]]:
    """Illnesses that this log cannot show, and the metrics it lacks for them."""
    lacking = {}
    for rule in rules():
        if rule.needs and not any(log.has(*names) for names in rule.needs):
            lacking[rule.illness] = tuple(n for n in rule.needs[0] if not log.has(n))
    return lacking


def asked(log: MetricsLog) -> list[str]:
    """Illnesses whose rules could speak on this log: long enough, and with their metrics."""
    if not is_read(log):
        return []
    return [rule.illness for rule in rules() if rule.applies(log)]


@np.errstate(all="ignore")
def to_json(log: MetricsLog, findings: list[Finding]) -> str:
    """The contract's JSON, at most three findings."""
    keys = ("illness", "severity", "since_batch", "evidence", "remedy")
    named, returns = asked(log), ends(log)
    document = {
        "status": status(log, findings),
        "writer": log.writer,
        "batches": len(log),
        "rules_asked": len(named),
        "rules_total": len(rules()),
        "findings": [{key: getattr(found, key) for key in keys} for found in findings[:MOST]],
        "algorithm": log.algorithm,
        "source": log.source,
        "return_from": clean(returns[0]) if returns else None,
        "return_to": clean(returns[1]) if returns else None,
        "rose": rises(log) if returns else None,
        "rules_not_asked": [rule.illness for rule in rules() if rule.illness not in named],
        "unknown_tags": log.unknown_tags,
    }
    return json.dumps(document)


@np.errstate(all="ignore")
def report(log: MetricsLog, findings: list[Finding], verbose: bool = False) -> str:
    """The verdict and the findings in words, for a terminal."""
    lines = [f"read {log.source}"] if log.source else []
    lines += [f"{_batches(log)}, written by {log.writer}", _return_line(log)]
    lines += _evaluation_line(log)
    lines.append(_verdict_line(log, findings))
    for place, finding in enumerate(findings[:MOST]):
        head = "cause" if place == 0 and len(findings) > 1 else "found"
        sure = f"{round(100 * finding.confidence)} % sure"
        lines.append(f"{head}: {finding.illness} ({finding.severity}, {sure})")
        lines.append(f"    since batch {finding.since_batch}: {finding.evidence}")
        lines.append(f"    try {finding.remedy}")
        shown = [f.illness for f in findings[:MOST] if f.illness in finding.explains]
        if shown:
            lines.append(f"    explains {', '.join(shown)}")
        if finding.sources:
            lines.append(f"    see {'; '.join(finding.sources)}")
    if len(findings) > MOST:
        lines.append(f"{len(findings) - MOST} more, likely consequences")
    return "\n".join(lines + _coverage(log, verbose))


def _batches(log: MetricsLog) -> str:
    return f"{len(log)} batch{'es' if len(log) != 1 else ''}"


def _return_line(log: MetricsLog) -> str:
    returns = ends(log)
    if returns is None:
        return "no episode return in this log"
    course = "rose" if rises(log) else "did not clearly rise"
    return f"episode return {number(returns[0])} -> {number(returns[1])}: {course}"


def _evaluation_line(log: MetricsLog) -> list[str]:
    """The return of the last evaluations, and whether it is far from that of training."""
    evaluated = evaluations(log)
    trained = log.returns()
    if not len(evaluated) or not len(trained):
        return []
    played, late = float(np.median(evaluated[-LATEST:])), trained[-10 * LATEST :]
    line = f"return in evaluations {number(played)}"
    apart = abs(played - float(np.median(late))) > FAR_APART * float(np.ptp(trained))
    if apart and not late.min() <= played <= late.max():
        better = "better" if played > late.max() else "worse"
        line += f", far {better} than in training: without its noise the policy acts otherwise"
        line += ", or the evaluation's environment does"
    return [line]


def _verdict_line(log: MetricsLog, findings: list[Finding]) -> str:
    found = status(log, findings)
    if found == NOT_READ:
        if log.algorithm != "PPO":
            return f"not read: written by {log.algorithm}, not PPO, and the rules are about PPO"
        return "not read: no figure in it that a rule asks for" if len(log) else "no batch in it"
    if found == TOO_EARLY:
        if not np.isfinite(log.get("mean_episode_return")).any():
            ended = "no episode has ended" if log.writer == "ppo" else "no episode return in it"
            line = f"too early to judge: {ended}, and none of the rules fired"
            if any("start anew at each checkpoint" in event for _, event in log.events):
                line += "; checkpoints cut them short: raise train.checkpoint_interval"
            return line
        if begins_late(log):
            began = log.setting("train.initial_policy") or trained_before(log)
            why = "the policy was trained before" if began else "the log begins late"
            return f"cannot be judged: {why}, and its return does not clearly rise"
        return f"too early to judge: {_batches(log)}, and none of the rules fired"
    if found == HEALTHY:
        fired = f"healthy: no rule fired, of {len(asked(log))} that could be asked"
        return fired + unsolved(log)
    return WORDS[found]


def _coverage(log: MetricsLog, verbose: bool) -> list[str]:
    """Which rules were applied, which were not and why, and which tags are unknown."""
    named, lacking = asked(log), unasked(log)
    lines = [f"{len(named)} of {len(rules())} rules asked"]
    if is_read(log):
        waiting = [r.illness for r in rules() if r.illness not in {*named, *lacking}]
        if waiting:
            lines.append(f"not asked, for want of batches: {', '.join(waiting)}")
        if lacking:
            lines.append(f"not asked, for want of metrics: {', '.join(lacking)}")
    if log.unknown_tags:
        shown = log.unknown_tags if verbose else log.unknown_tags[:TAGS]
        more = len(log.unknown_tags) - len(shown)
        lines.append(f"unknown tags: {', '.join(shown)}" + (f" and {more} more" if more else ""))
    if verbose:
        lines += [f"  {name}: lacks {', '.join(names)}" for name, names in lacking.items()]
        lines += [f"  note: {note}" for note in log.notes]
    return lines


class Watch:
    """The doctor while training goes on: new findings only, each illness at most once.

    Keeps a bounded history: the last `WINDOW` records as they are, older ones thinned out, so
    that the cost of a batch does not grow. Fatal rules are asked each batch, the others every
    `EVERY` batches.
    """

    WINDOW, EVERY = 64, 10

    def __init__(self, settings: dict[str, Any] | None = None, writer: str = "ppo") -> None:
        """`settings` are those of the run, nested as in config.yaml or with dotted keys.

        `writer` is the library whose figures these are: units and remedies follow it.
        """
        self.findings: list[Finding] = []  # of the run so far
        self._settings = flatten(settings or {})
        self._writer = writer
        self._records: list[dict[str, Any]] = []
        self._seen: set[str] = set()
        self._count = 0
        self._rules = rules()
        self._urgent = [rule for rule in self._rules if rule.severity == FATAL]

    def update(self, record: dict[str, Any]) -> list[Finding]:
        """Takes one batch record of the contract; returns findings that were not there before."""
        self._keep(record)
        if self._count % self.EVERY == 0:
            return self._new(self._rules, self._records)
        return self._new(self._urgent, self._records[-2:])

    def recall(
        self, records: Iterable[dict[str, Any]], findings: Iterable[Finding] | None = None
    ) -> None:
        """Goes on from an earlier part of the run, whose findings are not repeated.

        `findings` are those of that part; None: the rules are asked.
        """
        self._records, self._count, self._seen = [], 0, set()
        for record in records:
            self._keep(record)
        self.findings = list(findings or ())
        self._seen = {finding.illness for finding in self.findings}
        if findings is None and self._records:
            self._new(self._rules, self._records)

    def _keep(self, record: dict[str, Any]) -> None:
        self._records.append(record)
        self._count += 1
        if len(self._records) > 2 * self.WINDOW:
            self._records = self._records[: self.WINDOW : 2] + self._records[self.WINDOW :]

    def set(self, settings: dict[str, Any]) -> None:
        """Settings that are known only once training begins."""
        self._settings |= flatten(settings)

    def _new(self, some: list[Rule], records: list[dict[str, Any]]) -> list[Finding]:
        log = from_records(records, self._settings, self._writer)
        if self._writer != "ppo":
            entropy_relative(log)
        named = rank(_check(some, log))[:MOST]  # what `diagnose` names of the batches so far
        found = [finding for finding in named if finding.illness not in self._seen]
        self._seen |= {finding.illness for finding in found}
        self.findings += found
        return found
