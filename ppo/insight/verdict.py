"""One word for a log: healthy, too early to judge, not learning, ill, or not read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ppo.core.figures import number
from ppo.core.metrics import METRICS
from ppo.insight.logs.log import UNKNOWN, MetricsLog
from ppo.insight.rules import EARLIEST, Finding, not_learning
from ppo.insight.rules._returns import begins_late, leans, rises
from ppo.insight.rules._signs import known
from ppo.insight.rules._solved import evaluations, solved_at, stays_solved

HEALTHY, TOO_EARLY, NOT_LEARNING, ILL, NOT_READ = STATUSES = (
    "healthy", "too_early", "not_learning", "ill", "not_read",
)  # fmt: skip
WORDS = {name: name.replace("_", " ") for name in STATUSES} | {TOO_EARLY: "too early to judge"}
SHORT = 12  # updates before which silence of the rules means nothing (J)
SURER = 0.8  # times its first entropy (J)
FEW = 8  # returns that show whether they rise
TELLING = 3  # figures that a log of an unknown writer must have where it has no return (J)
NEAR = 0.9  # of the way to what counts as solved, which noise may hide (J)
SHARE = 10  # the return from and to are means of this part of the batches that have one


def is_read(log: MetricsLog) -> bool:
    """Whether the log holds figures that the rules are about, of PPO."""
    telling = [metric.name for metric in METRICS if metric.telling]
    there = [name for name in telling if log.has(name) or np.any(log.nonfinite.get(name, False))]
    wanted = TELLING if log.writer == UNKNOWN else 1
    enough = "mean_episode_return" in there or len(there) >= wanted
    return log.algorithm == "PPO" and enough


@np.errstate(all="ignore")  # foreign figures overflow and divide by zero
def status(log: MetricsLog, findings: Sequence[Finding]) -> str:
    """One of STATUSES; `findings` are all that the rules found, the cause first."""
    if not is_read(log):
        return NOT_READ
    if findings:
        return NOT_LEARNING if findings[0].illness == NOT_LEARNING else ILL
    returns = log.returns()
    if rises(log):
        return HEALTHY
    if not len(returns):
        return HEALTHY if log.writer != "ppo" and _decides(log) else TOO_EARLY
    few = len(returns) < not_learning.RETURNS
    if log.updates() >= not_learning.LONG and not few:  # the rule was asked
        return TOO_EARLY if begins_late(log) and not stays_solved(log) else HEALTHY
    own = log.writer == "ppo" and len(returns) >= FEW
    unasked = len(log) < EARLIEST  # whatever the rows stand for
    early = own or unasked or log.updates() < SHORT or not leans(log)
    return TOO_EARLY if early else HEALTHY


def _decides(log: MetricsLog) -> bool:
    """Whether a policy of which no return is known has become surer of its choices."""
    _, entropy = known(log.get("entropy_relative"))
    return len(entropy) > 1 and bool(np.median(entropy[-3:]) < SURER * entropy[0])


def ends(log: MetricsLog) -> tuple[float, float] | None:
    """The mean episode return of the first and of the last tenth; None where none is logged."""
    returns = log.returns()
    if not len(returns):
        return None
    part = max(len(returns) // SHARE, 1)
    return float(np.mean(returns[:part])), float(np.mean(returns[-part:]))


def unsolved(log: MetricsLog) -> str:
    """What a return lacks of what Gymnasium counts as solved where going on would not bring it.

    Returns:
        Words that go on a sentence; none where two more runs as long would do at the pace of the
        last quarters, little is missing, or no number is known of the environment.
    """
    threshold = solved_at(log)
    returns = log.returns()
    if threshold is None or len(returns) < 2 * FEW:
        return ""
    quarter = len(returns) // 4
    before, late = returns[-2 * quarter : -quarter], returns[-quarter:]
    trained = float(np.median(late))
    level = max([trained, *evaluations(log)[-1:]])
    least = float(np.min(returns[:quarter]))
    pace = 4 * float(np.mean(late) - np.mean(before))  # of a whole run
    if level - least >= NEAR * (threshold - least) or level + 2 * pace >= threshold:
        return ""
    name = log.setting("env.id")
    where = "return in evaluations" if level > trained else "return"
    return f"; the {where} hardly leaves {number(level)}: {name} is solved at {number(threshold)}"
