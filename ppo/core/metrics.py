"""Every number of a batch record, declared once: unit, how minibatches reduce, and its meaning."""

from __future__ import annotations

from typing import Literal, NamedTuple

Reduction = Literal["mean", "max", "none"]


class Metric(NamedTuple):
    """One field of loss_metrics.json."""

    name: str
    group: str  # folder in TensorBoard
    unit: str
    reduction: Reduction  # over the minibatches of a batch; none: computed once a batch
    meaning: str


def _declare(group: str, unit: str, reduction: Reduction, **meanings: str) -> list[Metric]:
    return [Metric(name, group, unit, reduction, text) for name, text in meanings.items()]


METRICS: list[Metric] = [
    *_declare(
        "counters",
        "1",
        "none",
        batch="number of the batch, from 0",
        env_steps="environment steps taken since the start, over all ranks",
        episodes="episodes finished since the start",
    ),
    *_declare("counters", "s", "none", wall_time_s="seconds of training since the start"),
    *_declare(
        "counters", "1/s", "none", steps_per_second="environment steps a second in this batch"
    ),
    *_declare(
        "loss",
        "1",
        "mean",
        total_loss="policy_loss + value_loss_weight * value_loss"
        " - entropy_coefficient * entropy + others",
        policy_loss="clipped surrogate, negated",
        value_loss="unweighted loss of the critic, summed over reward components",
        entropy="of the policy",
    ),
    *_declare(
        "loss",
        "1",
        "none",
        value_loss_weight="weight in force",
        entropy_coefficient="weight in force",
        normalized_value_loss="squared error over the variance of the targets; 1 predicts the mean",
    ),
    *_declare(
        "value",
        "1",
        "none",
        explained_variance="of raw returns by raw values, before the update",
        explained_variance_after="the same after the update: whether the critic can fit at all",
        bias_share="share of the squared error that is offset: 1 is an offset not learned",
        error_over_std="root mean squared error over the returns' deviation; 1 is untrained",
        batches_to_reach="batches that the critic needs at full speed to cross its error",
        gamma="largest discount in force",
        return_drift="change of the returns' mean since the last batch, in deviations",
        frame_age="distance of the frame's mean from this batch's, in deviations",
        effective_value_weight="value_loss_weight times the squared unit of the loss",
    ),
    *_declare(
        "value",
        "1",
        "mean",
        value_clip_fraction="share of samples whose value gradient the clip removed",
    ),
    *_declare("value", "1", "max", max_sample_value_loss="largest loss of a single sample"),
    *_declare(
        "value",
        "reward",
        "none",
        return_mean="of the raw value targets",
        return_std="of the raw value targets",
        return_min="of the raw value targets",
        return_max="of the raw value targets",
    ),
    *_declare(
        "value",
        "network unit",
        "none",
        target_mean="of what the critic was trained on",
        target_std="of what the critic was trained on",
        target_min="of what the critic was trained on",
        target_max="of what the critic was trained on",
    ),
    *_declare(
        "policy",
        "1",
        "mean",
        approx_kl="E[(r - 1) - log r] of the policy's change within the batch",
        clip_fraction="share of samples whose probability ratio left the clip range",
    ),
    *_declare(
        "policy",
        "1",
        "none",
        approx_kl_first_epoch="approx_kl of the first epoch",
        approx_kl_last_epoch="approx_kl of the last epoch",
        ratio_first="largest |ratio - 1| of the first minibatch; 0 but for rounding",
        entropy_relative="entropy over that of the uniform policy; null for continuous actions",
        policy_std="mean deviation of the policy; null for discrete actions",
        colored_share="share of the environments whose noise was pink (ppo.noise)",
        action_out_of_bounds_share="share of sampled action entries beyond their bounds",
        learning_rate="in force",
    ),
    *_declare(
        "gradient",
        "1",
        "none",
        grad_norm="before clipping, mean over minibatches",
        grad_clip_factor="grad_norm / max_grad_norm: how many times it is too long",
        grad_clipped_fraction="share of minibatches whose gradient was clipped",
        value_gradient_share="value loss's share of the gradient norm on shared parameters",
        value_to_policy_gradient="ratio of the two gradient norms on shared parameters",
        skipped_minibatches="minibatches left out for a non-finite gradient",
    ),
    *_declare(
        "network",
        "1",
        "none",
        saturated_units="share of tanh features beyond 0.99",
        dead_units="share of features that do not vary over the batch",
        effective_rank="exp of the entropy of the features' singular values, over their number",
    ),
    *_declare(
        "episode",
        "env reward",
        "none",
        mean_episode_return="of episodes that ended in this batch, unscaled",
    ),
    *_declare(
        "episode", "steps", "none", mean_episode_length="of episodes that ended in this batch"
    ),
    *_declare(
        "episode",
        "1",
        "none",
        success_rate="share of ended episodes with is_success; null where it is not said",
        timeout_share="share of ended episodes that a time limit cut",
        at_limit_share="share of ended episodes as long as the longest allowed",
    ),
    *_declare(
        "data",
        "1",
        "none",
        reward_outlier="largest distance of a reward from the median, in robust deviations",
        reward_zero_share="share of rewards that are exactly 0",
        obs_outlier_share="share of normalized observation entries beyond 10 deviations",
        obs_std_ratio="largest over smallest deviation of raw observation entries",
    ),
]

DECLARED: dict[str, Metric] = {metric.name: metric for metric in METRICS}
STRUCTURED = ("components", "events")


def clean(value: float) -> float | None:
    """A finite number, or None, which JSON writes as null."""
    number = float(value)
    return number if number - number == 0.0 else None
