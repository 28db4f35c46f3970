"""Every number of a batch record, declared once: its unit, its meaning, and where it is shown.

What shows figures (terminal, comparison, page, TensorBoard) asks this table at the time of showing,
so that a metric is added here and where it is computed, and nowhere else. The order is that of
the records and of everything that is shown.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

Reduction = Literal["mean", "max", "none"]
Better = Literal["higher", "lower", "none"]
Form = Literal["count", "compact", "number", "places", "kl", "percent", "times"]
UNBOUNDED = (-math.inf, math.inf)


class Column(NamedTuple):
    """A column of the table of batches on the terminal."""

    title: str
    width: int  # with the gap before it
    form: Form = "compact"
    rank: int = 0  # 0: always there; of the others the lowest are shown, as many as fit


class Metric(NamedTuple):
    """One field of loss_metrics.json."""

    name: str
    group: str  # folder in TensorBoard
    unit: str
    reduction: Reduction  # over the minibatches of a batch; none: computed once a batch
    meaning: str
    label: str = ""  # in comparisons; empty: not compared
    better: Better = "none"
    judged: bool = False  # whether a comparison tests groups for a difference beyond chance
    curve: bool = False  # drawn on the page of a comparison
    column: Column | None = None
    healthy: tuple[float, float] = UNBOUNDED  # outside it is marked; one mark is no illness yet
    normal: str = ""  # what to expect, in the health of a single batch; empty: not listed there
    always: bool = False  # null in our own records means "not finite", never "not measured"
    telling: bool = False  # a log without any telling figure cannot be judged at all

    @property
    def title(self) -> str:
        """What a reader calls it."""
        return self.label or self.name.replace("_", " ")

    def is_healthy(self, value: float) -> bool:
        return self.healthy[0] <= value <= self.healthy[1]


def _declare(group: str, unit: str, reduction: Reduction) -> Callable[..., list[Metric]]:
    """A function that makes metrics of these of name=meaning, or name=_shown(meaning, ...)."""

    def of(**meanings: str | dict[str, Any]) -> list[Metric]:
        given = {name: _shown(m) if isinstance(m, str) else m for name, m in meanings.items()}
        return [Metric(name, group, unit, reduction, **fields) for name, fields in given.items()]

    return of


def _shown(meaning: str, **where: Any) -> dict[str, Any]:
    return {"meaning": meaning, **where}


METRICS: list[Metric] = [
    *_declare("counters", "1", "none")(
        batch=_shown("number of the batch, from 0", column=Column("batch", 6, "count")),
        env_steps=_shown(
            "environment steps taken since the start, over all ranks",
            column=Column("steps", 7),
        ),
        episodes="episodes finished since the start",
    ),
    *_declare("counters", "s", "none")(wall_time_s="seconds of training since the start"),
    *_declare("episode", "env reward", "none")(
        mean_episode_return=_shown(
            "of episodes that ended in this batch, unscaled",
            label="return",
            better="higher",
            judged=True,
            curve=True,
            column=Column("return", 8, "number"),
            telling=True,
        ),
    ),
    *_declare("episode", "steps", "none")(
        mean_episode_length=_shown(
            "of episodes that ended in this batch", column=Column("length", 8, "number", 4)
        ),
    ),
    *_declare("episode", "1", "none")(
        success_rate=_shown(
            "share of ended episodes with is_success; null where it is not said",
            label="success",
            better="higher",
            judged=True,
            curve=True,
            column=Column("succ", 6, "places", 3),
        ),
        timeout_share="share of ended episodes that a time limit cut",
        at_limit_share="share of ended episodes as long as the longest allowed",
    ),
    *_declare("value", "1", "none")(
        explained_variance=_shown(
            "of raw returns by raw values, before the update",
            label="explained variance",
            better="higher",
            judged=True,
            curve=True,
            column=Column("ev", 7, "places"),
            # It dips below 0 in single batches of healthy runs (openai/baselines #454).
            healthy=(-0.1, math.inf),
            normal="above 0.5 learned",
            telling=True,
        ),
        explained_variance_after="the same after the update: whether the critic can fit at all",
        bias_share="share of the squared error that is offset: 1 is an offset not learned",
        error_over_std="root mean squared error over the returns' spread; 1 is untrained",
        batches_to_reach="batches that the critic needs at full speed to cross its error",
        gamma="largest discount in force",
        return_drift="change of the returns' mean since the last batch, in standard deviations",
        frame_age="distance of the frame's mean from this batch's, in standard deviations",
        effective_value_weight="value_loss_weight times the squared unit of the loss",
    ),
    *_declare("policy", "1", "mean")(
        approx_kl=_shown(
            "E[(r - 1) - log r] of the policy's change within the batch",
            label="KL",
            curve=True,
            column=Column("kl", 7, "kl"),
            # "Stays below 0.02" in Huang et al. 2022, The 37 Implementation Details of PPO. Healthy
            # runs of the shipped configuration reach 0.0302 in single batches; the doctor acts at
            # 0.05.
            healthy=(-math.inf, 0.035),
            normal="mostly 0.003 to 0.02; below 0.035",
            always=True,
            telling=True,
        ),
        clip_fraction=_shown(
            "share of samples whose probability ratio left the clip range",
            column=Column("clip", 6, "percent"),
            # 0.05 to 0.3 in healthy runs (same source, and Andrychowicz et al. 2021 for 0.2).
            healthy=(-math.inf, 0.3),
            normal="mostly 0.05 to 0.3, and less at first",
            telling=True,
        ),
    ),
    *_declare("policy", "1", "none")(
        approx_kl_first_epoch="approx_kl of the first epoch",
        approx_kl_last_epoch="approx_kl of the last epoch",
        ratio_first="largest |ratio - 1| of the first minibatch; 0 but for rounding",
        entropy_relative="entropy over that of the uniform policy; null for continuous actions",
        policy_std=_shown(
            "mean standard deviation of the policy; null for discrete actions",
            column=Column("std", 8, rank=6),
        ),
        colored_share="share of the environments whose noise was pink (ppo.noise)",
        action_out_of_bounds_share="share of sampled action entries beyond their bounds",
        learning_rate=_shown("in force", column=Column("lr", 9, rank=7)),
    ),
    *_declare("loss", "1", "mean")(
        total_loss=_shown(
            "policy_loss + value_loss_weight * value_loss - entropy_coefficient * entropy + others",
            label="total loss",
            curve=True,
            normal="the sum of the weighted losses",
            always=True,
        ),
        policy_loss=_shown(
            "clipped surrogate, negated",
            healthy=(-0.2, 0.2),
            normal="near 0, since advantages have mean 0",
            always=True,
            telling=True,
        ),
        value_loss=_shown(
            "unweighted loss of the critic, summed over reward components",
            label="value loss",
            better="lower",
            normal="unweighted",
            always=True,
            telling=True,
        ),
        entropy=_shown(
            "of the policy",
            label="entropy",
            normal="falls slowly",
            always=True,
            column=Column("entropy", 9, rank=5),
        ),
    ),
    *_declare("loss", "1", "none")(
        normalized_value_loss=_shown(
            "squared error over the variance of the targets; 1 predicts the mean",
            label="normalized value loss",
            better="lower",
            curve=True,
            column=Column("value/var", 10, "places"),
            # 1 is a critic that predicts the mean, so 2 is worse than none.
            healthy=(-math.inf, 2.0),
            normal="1: predicts the mean; falls to 0",
            telling=True,
        ),
        value_loss_weight=_shown("weight in force", normal="0.1 to 1"),
        entropy_coefficient="weight in force",
    ),
    *_declare("value", "1", "mean")(
        value_clip_fraction=_shown(
            "share of samples whose value gradient the clip removed",
            normal="samples that the clip holds back",
        ),
    ),
    *_declare("value", "1", "max")(max_sample_value_loss="largest loss of a single sample"),
    *_declare("value", "reward", "none")(
        return_mean=_shown("of the raw value targets", always=True),
        return_std=_shown("of the raw value targets", telling=True),
        return_min="of the raw value targets",
        return_max="of the raw value targets",
    ),
    *_declare("value", "network unit", "none")(
        target_mean=_shown("of what the critic was trained on", always=True),
        target_std="of what the critic was trained on",
        target_min="of what the critic was trained on",
        target_max="of what the critic was trained on",
    ),
    *_declare("gradient", "1", "none")(
        grad_norm=_shown("before clipping, mean over minibatches", always=True),
        grad_clip_factor=_shown(
            "grad_norm / max_grad_norm: how many times it is too long",
            label="gradient cut",
            curve=True,
            column=Column("grad cut", 9, "times"),
            # Cut to a third they still keep the mixture of losses; healthy runs show 0.2 to 3, and
            # more where the policy's standard deviation is small (ppo/cli/marks.py).
            healthy=(-math.inf, 3.0),
            normal="norm / ppo.max_grad_norm; above 3: mostly cut",
        ),
        grad_clipped_fraction="share of minibatches whose gradient was clipped",
        value_gradient_share="value loss's share of the gradient norm on shared parameters",
        value_to_policy_gradient="ratio of the two gradient norms on shared parameters",
        skipped_minibatches="minibatches left out for a non-finite gradient",
    ),
    *_declare("network", "1", "none")(
        saturated_units="share of tanh features beyond 0.99",
        dead_units="share of features that do not vary over the batch",
        effective_rank="exp of the entropy of the features' singular values, over their number",
    ),
    *_declare("data", "1", "none")(
        reward_outlier="largest distance of a reward from the median, in robust std",
        reward_zero_share="share of rewards that are exactly 0",
        obs_outlier_share="share of normalized observation entries beyond 10 standard deviations",
        obs_std_ratio="largest over smallest standard deviation of raw observation entries",
    ),
    *_declare("counters", "1/s", "none")(
        steps_per_second=_shown(
            "environment steps a second in this batch",
            label="steps per second",
            better="higher",
            judged=True,
            curve=True,
            column=Column("sps", 7, rank=2),
        ),
    ),
]

DECLARED: dict[str, Metric] = {metric.name: metric for metric in METRICS}


def compared() -> list[Metric]:
    """What a comparison of runs shows."""
    return [metric for metric in METRICS if metric.label]


def curves() -> list[Metric]:
    """What the page of a comparison draws."""
    return [metric for metric in compared() if metric.curve]


def clean(value: Any) -> float | None:
    """A finite number, or None, which JSON writes as null; None for what is no number."""
    if value is None or isinstance(value, str):
        return None
    number = float(value.detach() if hasattr(value, "detach") else value)
    return number if number - number == 0.0 else None
