"""Every number of loss_metrics.json is what an independent computation by plain numpy gives.

`@number` names the metrics that a function here computes from what was seen of a batch: the
rollout, and the network's outputs before each gradient step. A declared metric without one fails.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from seen_batches import Seen, cut, explained, walk

from ppo.core.metrics import DECLARED

BATCHES = 3
NUMBERS: dict[str, Callable[[Any], Any]] = {}
ZERO = {"ratio_first"}  # for every healthy run


def number(*names: str) -> Callable[[Any], Any]:
    """Marks what computes these metrics."""

    def keep(function: Any) -> Any:
        for i, name in enumerate(names):
            NUMBERS[name] = function if len(names) == 1 else (lambda s, i=i: function(s)[i])
        return function

    return keep


@number("batch", "learning_rate", "value_loss_weight", "entropy_coefficient", "gamma",
        "colored_share")  # fmt: skip
def settings(s: Seen) -> Any:
    done = 0.0 if s.before is None else s.before.record["env_steps"]
    share = done / s.run.config.train.total_timesteps
    falls = s.ppo.learning_rate_schedule == "linear"
    rate = s.ppo.learning_rate * (1 - share * falls)
    pink = float(s.ppo.noise == "pink")
    return s.number, rate, s.weight, s.ppo.entropy_coefficient, s.gamma, pink


@number("env_steps", "episodes")
def counters(s: Seen) -> Any:
    before = s.before.record if s.before else {"env_steps": 0, "episodes": 0}
    steps = (s.valid | s.ended).sum()
    return before["env_steps"] + steps, before["episodes"] + len(s.episodes())


@number("steps_per_second")
def speed(s: Seen) -> Any:
    before = s.before.record if s.before else {"env_steps": 0, "wall_time_s": 0.0}
    seconds = s.record["wall_time_s"] - before["wall_time_s"]
    return (s.record["env_steps"] - before["env_steps"]) / seconds


@number("wall_time_s")
def wall_time(s: Seen) -> Any:
    """It lies within what was measured around it."""
    before = s.before.record["wall_time_s"] if s.before else 0.0
    return min(max(s.record["wall_time_s"], before), before + s.elapsed)


@number("mean_episode_return", "mean_episode_length", "success_rate", "timeout_share",
        "at_limit_share")  # fmt: skip
def of_episodes(s: Seen) -> Any:
    found = s.episodes()
    if not found:
        return [math.nan] * 5
    returns, lengths, rows, envs = (np.array(column) for column in zip(*found, strict=True))
    said = s.success[rows, envs]
    limit = s.run.collector.envs.max_episode_steps or math.inf
    late = s.truncated[rows, envs] & ~s.terminated[rows, envs]
    known = said[~np.isnan(said)]
    rate = known.mean() if len(known) else math.nan
    return returns.mean(), lengths.mean(), rate, late.mean(), (lengths >= limit).mean()


@number("explained_variance", "explained_variance_after", "bias_share", "error_over_std")
def of_values(s: Seen) -> Any:
    real = s.real
    returns, values = s.returns[real].sum(-1), s.old[real].sum(-1)
    after = (s.center + s.size * s.after["values_norm"])[real].sum(-1)
    square = ((returns - values) ** 2).mean()
    bias = (returns - values).mean() ** 2
    both = explained(returns, values), explained(returns, after)
    return *both, bias / square, square**0.5 / returns.std()


@number("return_mean", "return_std", "return_min", "return_max")
def of_returns(s: Seen) -> Any:
    total = s.returns[s.real].sum(-1)
    return total.mean(), total.std(), total.min(), total.max()


@number("target_mean", "target_std", "target_min", "target_max")
def of_targets(s: Seen) -> Any:
    goals = s.goals[s.real]
    return goals.mean(), goals.std(), goals.min(), goals.max()


@number("return_drift", "frame_age")
def of_the_frame(s: Seen) -> Any:
    spread = s.returns[s.real].std(0)
    age = (np.abs(s.center - s.batch_mean) / spread).max()
    if s.before is None:
        return math.nan, age
    return (np.abs(s.batch_mean - s.before.batch_mean) / spread).max(), age


@number("batches_to_reach")
def reach(s: Seen) -> Any:
    total, values = s.returns[s.real].sum(-1), s.old[s.real].sum(-1)
    gap = max(abs(total.mean() - values.mean()), total.std())
    of_an_output = settings(s)[1] * (1 + np.abs(s.after["features"]).sum(1).mean()) * len(s.steps)
    return gap / (of_an_output * s.std.sum())


@number("effective_value_weight")
def effective_weight(s: Seen) -> Any:
    return s.weight  # the loss is in variances of its targets


@number("approx_kl", "clip_fraction", "approx_kl_first_epoch", "approx_kl_last_epoch",
        "ratio_first")  # fmt: skip
def of_ratios(s: Seen) -> Any:
    def kl(made: Any, rows: Any) -> Any:
        ratio = s.ratio(made, rows)
        return (ratio - 1 - np.log(ratio)).mean()

    def beyond(made: Any, rows: Any) -> Any:
        return (np.abs(s.ratio(made, rows) - 1) > s.ppo.clip_epsilon).mean()

    first = np.abs(s.ratio(s.steps[0], s.steps[0]["rows"]) - 1).max()
    epoch = s.ppo.num_minibatches
    ends = s.mean(kl, s.steps[:epoch]), s.mean(kl, s.steps[-epoch:])
    return s.mean(kl), s.mean(beyond), *ends, first


@number("entropy", "entropy_relative", "policy_std")
def of_entropy(s: Seen) -> Any:
    def entropy(made: Any, rows: Any) -> Any:
        if s.discrete:
            share = np.exp(made["policy"][rows])
            share = share / share.sum(1, keepdims=True)
            return -(share * np.log(share)).sum(1).mean()
        return (made["log_std"] + 0.5 * math.log(2 * math.pi * math.e)).sum()

    found = s.mean(entropy)
    if s.discrete:
        return found, found / math.log(s.after["policy"].shape[1]), math.nan
    return found, math.nan, np.exp(s.after["log_std"]).mean()


@number("policy_loss")
def policy_loss(s: Seen) -> Any:
    def surrogate(made: Any, rows: Any) -> Any:
        ratio, chosen = s.ratio(made, rows), s.advantages[rows]
        advantages = (chosen - chosen.mean()) / chosen.std()
        near = np.clip(ratio, 1 - s.ppo.clip_epsilon, 1 + s.ppo.clip_epsilon)
        return -np.minimum(ratio * advantages, near * advantages).mean()

    return s.mean(surrogate)


@number("value_loss", "value_clip_fraction", "normalized_value_loss")
def of_value_losses(s: Seen) -> Any:
    error = s.mean(lambda m, rows: ((m["values_norm"] - s.goals)[rows] ** 2).mean())
    return (
        s.mean(lambda m, rows: s.value_losses(m, rows)[0].mean(0).sum()),
        s.mean(lambda m, rows: s.value_losses(m, rows)[1].mean()),
        error / s.goals[s.real].var(0).mean(),
    )


@number("max_sample_value_loss")
def largest_value_loss(s: Seen) -> Any:
    taken = [made for made in s.steps if np.isfinite(made["norm"])]
    return max(s.value_losses(m, m["rows"][s.real[m["rows"]]])[0].max() for m in taken)


@number("total_loss")
def total_loss(s: Seen) -> Any:
    value = s.weight * of_value_losses(s)[0]
    return policy_loss(s) + value - s.ppo.entropy_coefficient * of_entropy(s)[0]


@number("grad_norm", "grad_clip_factor", "grad_clipped_fraction", "skipped_minibatches")
def of_gradients(s: Seen) -> Any:
    norms = np.array([made["norm"] for made in s.steps])
    finite, limit = norms[np.isfinite(norms)], s.ppo.max_grad_norm
    skipped = len(norms) - len(finite)
    return finite.mean(), finite.mean() / limit, (finite > limit).mean(), skipped


@number("value_gradient_share", "value_to_policy_gradient")
def of_shared_gradients(s: Seen) -> Any:
    policy, value = s.norms
    return value / (value + policy), value / policy


@number("saturated_units", "dead_units", "effective_rank")
def of_features(s: Seen) -> Any:
    features = s.after["features"]
    dead = features.std(0) < 1e-3 * np.abs(features).max()
    singular = np.linalg.svd(s.last_features, compute_uv=False)
    share = singular / singular.sum()
    share = share[share > 0]
    rank = np.exp(-(share * np.log(share)).sum()) / features.shape[1]
    return (np.abs(features) > 0.99).mean(), dead.mean(), rank if s.number == 0 else math.nan


@number("reward_outlier", "reward_zero_share")
def of_rewards(s: Seen) -> Any:
    rewards = s.rewards[s.valid]
    low, middle, high = np.quantile(rewards, [0.25, 0.5, 0.75], axis=0)
    spread = (high - low) / 1.349
    return (np.abs(rewards - middle) / spread)[:, spread > 0].max(), (rewards.sum(-1) == 0).mean()


@number("obs_outlier_share", "obs_std_ratio", "action_out_of_bounds_share")
def of_inputs(s: Seen) -> Any:
    obs = s.obs.reshape(len(s.real), -1)
    mean, inverse = s.inputs_of
    limit = s.run.config.env.observation_clip
    inputs = np.clip((obs - mean) * inverse, -limit, limit)
    spread = obs.std(0)
    ratio = spread.max() / spread[spread > 0].min()
    outside = math.nan if s.discrete else (np.abs(s.actions[..., 0]) > 1).mean() / 2
    return (np.abs(inputs) >= 10).mean(), ratio, outside


# ---- the tests


@pytest.fixture(scope="module")
def seen() -> list[Seen]:
    torch.set_num_threads(1)
    batches = []
    for make in (walk, cut):
        run, before = make(), None
        for _ in range(BATCHES):
            before = Seen(run, before)
            before.play()
            batches.append(before)
        run.collector.envs.close()
    return batches


def test_every_metric_has_a_computation_of_its_own() -> None:
    assert set(NUMBERS) == set(DECLARED)


@pytest.mark.parametrize("name", DECLARED)
def test_a_number_is_what_numpy_gives(name: str, seen: list[Seen]) -> None:
    pairs = [(s.record[name], float(NUMBERS[name](s))) for s in seen]
    for found, expected in pairs:
        wanted = None if math.isnan(expected) else pytest.approx(expected, rel=2e-4, abs=1e-6)
        assert found == wanted
    assert name in ZERO or any(found for found, _ in pairs), "the test is worth nothing"


def test_what_was_seen_has_every_kind_of_row(seen: list[Seen]) -> None:
    walks, cuts = seen[:BATCHES], seen[BATCHES:]
    assert any(s.terminated.any() and s.truncated.any() for s in walks)
    assert any((s.ended & ~s.valid).any() for s in cuts) and not seen[-1].real.all()
    assert not np.isfinite([made["norm"] for made in seen[1].steps]).all()
