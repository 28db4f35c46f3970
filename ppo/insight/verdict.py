"""One word for a log: healthy, too early to judge, not learning, ill, or not read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ppo.core.metrics import METRICS
from ppo.insight.logs.log import UNKNOWN, MetricsLog
from ppo.insight.rules import Finding, not_learning
from ppo.insight.rules._signs import begins_late, known, leans, rises

HEALTHY, TOO_EARLY, NOT_LEARNING, ILL, NOT_READ = STATUSES = (
    "healthy",
    "too_early",
    "not_learning",
    "ill",
    "not_read",
)
WORDS = {
    HEALTHY: "healthy",
    TOO_EARLY: "too early to judge",
    NOT_LEARNING: "not learning",
    ILL: "ill",
    NOT_READ: "not read",
}
SHORT = 12  # updates before which silence of the rules means nothing (J)
SURER = 0.8  # times its first entropy (J)
FEW = 8  # returns that show whether they rise
TELLING = 3  # figures that a log of an unknown writer must have where it has no return (J)
SHARE = 10  # the return from and to are means of this part of the batches that have one


def is_read(log: MetricsLog) -> bool:
    """Whether the log holds figures that the rules are about, of PPO."""
    telling = [metric.name for metric in METRICS if metric.telling]
    there = [name for name in telling if log.has(name) or _broken(log, name)]
    wanted = TELLING if log.writer == UNKNOWN else 1
    enough = "mean_episode_return" in there or len(there) >= wanted
    return log.algorithm == "PPO" and enough


def _broken(log: MetricsLog, name: str) -> bool:
    marks = log.nonfinite.get(name)
    return marks is not None and bool(marks.any())


def status(log: MetricsLog, findings: Sequence[Finding]) -> str:
    """One of STATUSES; `findings` are all that the rules found."""
    if not is_read(log):
        return NOT_READ
    illnesses = {finding.illness for finding in findings}
    if illnesses:
        return ILL if illnesses - {NOT_LEARNING} else NOT_LEARNING
    _, returns = known(log.get("mean_episode_return"))
    if rises(log):
        return HEALTHY
    if not len(returns):
        return HEALTHY if log.writer != "ppo" and _decides(log) else TOO_EARLY
    few = len(returns) < not_learning.RETURNS
    if log.updates() >= not_learning.LONG and not few:  # the rule was asked
        return TOO_EARLY if begins_late(log) else HEALTHY
    own = log.writer == "ppo" and len(returns) >= FEW
    early = own or log.updates() < SHORT or not leans(log)
    return TOO_EARLY if early else HEALTHY


def _decides(log: MetricsLog) -> bool:
    """Whether a policy of which no return is known has become surer of its choices."""
    _, entropy = known(log.get("entropy_relative"))
    return len(entropy) > 1 and bool(np.median(entropy[-3:]) < SURER * entropy[0])


def ends(log: MetricsLog) -> tuple[float, float] | None:
    """The mean episode return of the first and of the last tenth; None where none is logged."""
    _, returns = known(log.get("mean_episode_return"))
    if not len(returns):
        return None
    part = max(len(returns) // SHARE, 1)
    return float(np.mean(returns[:part])), float(np.mean(returns[-part:]))
