"""Which figures of a batch are marked with `!`: outside their healthy range, and for an ill cause.

A figure alone is no illness. A long gradient is usual where the policy has become sure of itself,
for the policy's gradient grows as 1 / standard deviation; and a solved task leaves next to no
variance to explain. Causes and limits are those of the doctor's rules.
"""

from __future__ import annotations

from collections.abc import Iterable

from ppo.cli.columns import FORMS, Record
from ppo.core.figures import number
from ppo.core.metrics import DECLARED, METRICS, Metric, clean
from ppo.insight.rules import gradients_always_clipped as always
from ppo.insight.rules import value_loss_dominates as dominates
from ppo.insight.rules._policy import USUAL_CLIP

CUT = "grad_clip_factor"
_OF_VARIANCE = ("explained_variance", "normalized_value_loss")


class Marks:
    """Judges the batches of a run one after the other.

    The unit of errors is the largest standard deviation that the returns have had in this run.
    """

    def __init__(self) -> None:
        self._spread = 0.0

    def recall(self, records: Iterable[Record]) -> None:
        """Goes on from the earlier batches of a resumed run."""
        for record in records:
            self._learn(record)

    def of(self, record: Record) -> frozenset[str]:
        """Names of the metrics that are marked."""
        self._learn(record)
        found = {metric.name for metric in METRICS if self._is_ill(metric, record)}
        if "total_loss" in record and clean(record["total_loss"]) is None:
            found.add("normalized_value_loss")
        return frozenset(found)

    def _learn(self, record: Record) -> None:
        self._spread = max(self._spread, clean(record.get("return_std")) or 0.0)

    def _is_ill(self, metric: Metric, record: Record) -> bool:
        value = clean(record.get(metric.name))
        if value is None:
            return False
        if metric.name == CUT:
            return cause_of_cut(record) is not None
        if metric.name in _OF_VARIANCE:
            rest, limit = value, metric.healthy[1]
            if metric.name == "explained_variance":
                rest, limit = 1.0 - value, 1.0 - metric.healthy[0]
            return rest * self._share(record) > limit
        return not metric.is_healthy(value)

    def _share(self, record: Record) -> float:
        """The batch's variance of the returns over the largest of the run; 1 where not known."""
        std = clean(record.get("return_std"))
        return 1.0 if std is None or not self._spread else (std / self._spread) ** 2


def cause_of_cut(record: Record) -> str | None:
    """Why the cut of a batch's gradient does harm, in words; None where it does none."""
    cut, norm = clean(record.get(CUT)), clean(record.get("grad_norm"))
    if cut is None:
        return None
    if norm is not None:  # a clip below the usual one cuts all steps alike
        cut = min(cut, norm / USUAL_CLIP)
    if "value_gradient_share" not in record and not DECLARED[CUT].is_healthy(cut):
        return "for a reason that was not measured"
    share = clean(record.get("value_gradient_share"))
    if cut > dominates.CUT and share is not None and share > dominates.SHARE:
        return "and the value loss is nearly all of the gradient, so that the policy learns little"
    variance = clean(record.get("explained_variance"))
    if cut > always.CUT and not (variance is not None and variance > always.BLIND):
        return "while the critic explains little"
    return None


def harmless_cut(records: Iterable[Record]) -> str | None:
    """Why the gradients of a run's last batches were cut far and did no harm; None: they were not.

    Args:
        records: the last batches.
    """
    records = [record for record in records if clean(record.get(CUT)) is not None]
    cuts = sorted(float(record[CUT]) for record in records)
    usual = DECLARED[CUT].healthy[1]
    if not cuts or cuts[len(cuts) // 2] <= usual or any(map(cause_of_cut, records)):
        return None
    last = records[-1]
    text = f"gradients are cut to 1/{number(cuts[len(cuts) // 2])}, which is harmless here: "
    share, std = clean(last.get("value_gradient_share")), clean(last.get("policy_std"))
    if share is None:
        variance = sorted(clean(record.get("explained_variance")) or 0.0 for record in records)
        if variance[len(variance) // 2] <= always.BLIND:
            return None
        text += "the critic works"
    else:
        text += f"{1.0 - share:.0%} of their length is the policy's"
        if std is not None:
            text += f", which grows as its standard deviation falls (now {number(std)})"
    return text + "; a cut keeps the direction"


def legend(marked: frozenset[str], record: Record) -> str:
    """What the marks of a line mean, for the first line that has some."""
    parts = [_reason(DECLARED[name], record) for name in DECLARED if name in marked]
    if marked.intersection(_OF_VARIANCE):
        parts[-1] += " (errors count in the largest variance of the run's returns)"
    return (
        f"! marks what is outside its healthy range: {'; '.join(parts)}. "
        "A mark is no illness yet, a finding is"
    )


def _reason(metric: Metric, record: Record) -> str:
    name = metric.column.title if metric.column else metric.title
    form = FORMS[metric.column.form] if metric.column else number
    low, high = metric.healthy
    value = clean(record.get(metric.name))
    if metric.name == CUT:
        return f"{name} {form(value or 0.0)} {cause_of_cut(record)}"
    if value is not None and value < low:
        return f"{name} below {form(low)}"
    if value is not None and value > high:
        return f"{name} above {form(high)}"
    return "a loss is not finite"
