"""How well the values, the policy and the network are, in numbers without units.

Each function takes tensors and gives a dict of scalar tensors by the names of metrics.py; nothing
leaves the device here. Definitions follow the references named beside them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call, vjp

from ppo.algorithm.optimizer import FlatParameters
from ppo.core.data import Batch, Rollout
from ppo.functional.moments import (
    explained_share,
    explained_variance,
    masked_mean,
    masked_moments,
)
from ppo.functional.quantiles import spread_index
from ppo.losses.base import Knobs
from ppo.losses.objective import Objective
from ppo.values.scale import ValueScale

PROBE_SAMPLES = 1024
GRADIENT_SAMPLES = 256  # that the gradients of the shared encoder are taken on
RANK_INTERVAL = 10  # batches between singular value decompositions


class Numbers(NamedTuple):
    """Scalars by name, as one vector."""

    names: tuple[str, ...]
    values: Tensor  # [M] float64

    @classmethod
    def of(cls, scalars: dict[str, Tensor]) -> Numbers:
        columns = [value.detach().double().reshape(()) for value in scalars.values()]
        return cls(tuple(scalars), torch.stack(columns))


def probe(batch: Batch, limit: int = PROBE_SAMPLES) -> Batch:
    """Samples that are looked at, each on its own, spread over all steps and environments."""
    return batch.alone(spread_index(batch.obs.shape[0], limit, batch.obs.device))


def value_health(
    batch: Batch, scale: ValueScale, last_mean: Tensor
) -> tuple[dict[str, Tensor], Tensor]:
    """The critic before its update, and the mean [K] of the batch's returns.

    Args:
        last_mean: [K] mean of the previous batch's returns (NaN at the first).
    """
    returns, values, weights = batch.returns, batch.old_values, batch.valid
    total_return, total_value = returns.sum(-1, keepdim=True), values.sum(-1, keepdim=True)
    _, mean, variance = masked_moments(total_return, weights)
    _, bias, error_variance = masked_moments(total_return - total_value, weights)
    mean_square = bias.square() + error_variance
    std = variance.sqrt()
    _, means, variances = masked_moments(returns, weights)
    _, _, residuals = masked_moments(returns - values, weights)
    deviations = variances.sqrt()
    real = weights.bool().unsqueeze(-1)
    targets = scale.to_norm(returns)
    _, target_mean, target_variance = masked_moments(
        targets.flatten(0).unsqueeze(-1), weights.repeat_interleave(returns.shape[1])
    )
    infinity = torch.full_like(total_return, torch.inf)
    wide = torch.full_like(targets, torch.inf)
    _, _, target_variances = masked_moments(targets, weights)
    found = {
        "explained_variance": explained_share(variance, error_variance).squeeze(0),
        "bias_share": (bias.square() / mean_square).squeeze(0),
        "error_over_std": (mean_square.sqrt() / std).squeeze(0),
        "return_mean": mean.squeeze(0),
        "return_std": std.squeeze(0),
        "return_min": torch.where(real, total_return, infinity).amin(),
        "return_max": torch.where(real, total_return, -infinity).amax(),
        "return_drift": _largest((means - last_mean).abs(), deviations),
        "frame_age": _largest((scale.mean - means).abs(), deviations),
        "target_mean": target_mean.squeeze(0),
        "target_std": target_variance.sqrt().squeeze(0),
        "target_min": torch.where(real, targets, wide).amin(),
        "target_max": torch.where(real, targets, -wide).amax(),
        "mean_target_variance": target_variances.mean(),
        "largest_offset": (
            mean.squeeze(0) - masked_moments(total_value, weights)[1].squeeze(0)
        ).abs(),
    }
    for k, explained in enumerate(explained_share(variances, residuals).unbind()):
        found[f"component_explained_variance/{k}"] = explained
    for k, wanted in enumerate(target_variances.unbind()):
        found[f"component_target_variance/{k}"] = wanted
    return found, means


def _largest(distances: Tensor, deviations: Tensor) -> Tensor:
    """The largest of [K] distances in deviations; NaN where no component has any."""
    found = torch.where(deviations > 0, distances / deviations, -1.0).amax()
    return torch.where(found < 0, torch.nan, found)


def reward_health(
    rewards: Tensor, valid: Tensor, center: tuple[Tensor, Tensor]
) -> dict[str, Tensor]:
    """Rewards by ranks, so that one outlier cannot hide itself (section 5.1 of the study).

    Args:
        rewards: [T, N, K]. valid: [T, N] bool. center: median and robust std, [K] each.
    """
    middle, spread = center
    far = (rewards - middle).abs() * valid.unsqueeze(-1)
    distance = far.flatten(0, 1).amax(0)
    outlier = torch.where(spread > 0, distance / spread, torch.nan)
    known = torch.nan_to_num(outlier, nan=-1.0).amax()
    total = rewards.sum(-1).flatten()
    return {
        "reward_outlier": torch.where(known >= 0, known, torch.nan),
        "reward_zero_share": masked_mean((total == 0).float(), valid.flatten().float()),
    }


@torch.no_grad()
def after_update(
    objective: Objective, batch: Batch, steps: Tensor, learning_rate: Tensor
) -> dict[str, Tensor]:
    """The critic and the network after the update, on a few samples.

    Args:
        steps: scalar, gradient steps of the update.
    """
    few = probe(batch)
    prediction = objective.predict(few)
    values = objective.value_scale.from_norm(prediction.values_norm)
    returns = few.returns.sum(-1, keepdim=True)
    features = prediction.features
    sizes = features.abs()
    largest = sizes.amax().clamp(min=1e-12)
    # Adam moves an output by at most about lr * (1 + |h|_1) a step.
    reach = learning_rate * (1.0 + sizes.sum(-1).mean()) * steps
    return {
        "explained_variance_after": explained_variance(
            returns, values.sum(-1, keepdim=True), few.valid
        ).squeeze(0),
        "critic_reach": reach,
        "saturated_units": (sizes > 0.99).float().mean()
        if objective.agent.bounded_features
        else features.new_full((), torch.nan),
        "dead_units": (features.std(0, correction=0) < 1e-3 * largest).float().mean(),
        **_of_inputs(objective, few),
        "action_out_of_bounds_share": out_of_bounds(objective, few),
    }


def _of_inputs(objective: Objective, few: Batch) -> dict[str, Tensor]:
    """How well the normalizer does with numbers; images have no statistics."""
    normalizer = objective.agent.normalizer
    inputs = normalizer(few.obs)
    if not inputs.shape[-1]:
        nothing = torch.full((), torch.nan, device=inputs.device)
        return {"obs_outlier_share": nothing, "obs_std_ratio": nothing}
    raw = normalizer.read(few.obs).std(0, correction=0)
    least = torch.where(raw > 0, raw, torch.inf).amin()
    ratio = torch.where(least.isfinite(), raw.amax() / least, 1.0).float()
    return {"obs_outlier_share": (inputs.abs() >= 10.0).float().mean(), "obs_std_ratio": ratio}


def out_of_bounds(objective: Objective, few: Batch | Rollout) -> Tensor:
    """The share of entries that lie outside -1 to 1 where they are bounded; NaN for choices."""
    distribution = objective.agent.distribution
    if distribution.discrete:
        return few.obs.new_full((), torch.nan, dtype=torch.float32)
    leaves = few.actions.abs() > 1.0
    if distribution.squash == "tanh":  # which comes after the sample, and keeps it inside
        leaves = torch.zeros_like(leaves)
    return (leaves.float() * distribution.bounded).mean()


@torch.no_grad()
def effective_rank(objective: Objective, batch: Batch) -> Tensor:
    """`exp(-sum p log p)` of the features' singular values, over their number (Roy 2007)."""
    # The squares of the singular values are the eigenvalues of a small matrix.
    features = objective.predict(probe(batch)).features.double()
    gram = features.mT @ features
    finite = torch.isfinite(gram).all()  # what is not is found by the learner, and rolled back
    gram = torch.where(finite, gram, torch.eye(gram.shape[0], dtype=gram.dtype, device=gram.device))
    values = torch.linalg.eigvalsh(gram).clamp(min=0.0).sqrt()
    share = values / values.sum().clamp(min=1e-30)
    entropy = -(share * share.clamp(min=1e-30).log()).sum()
    return torch.where(finite, entropy.exp() / features.shape[1], torch.nan)


class SharedGradients(nn.Module):
    """Norms of the value's and the policy's gradient on the parameters that both reach."""

    def __init__(self, objective: Objective, flat: FlatParameters) -> None:
        super().__init__()
        self.objective, self.flat = objective, flat
        shared = {f"agent.{name}" for name in objective.agent.shared_names()}
        self.applies = bool(shared)
        self.reached = flat.mask(shared.__contains__)

    def forward(self, batch: Batch, knobs: Knobs) -> Tensor:
        """The two losses [2], value first."""
        losses, _ = self.objective.terms(batch, knobs)
        weight = self.objective.weights(losses)["value"]
        return torch.stack([weight * losses["value"], losses["policy"] + losses["entropy"]])

    def measure(self, theta: Tensor, batch: Batch, knobs: Knobs) -> Tensor:
        """[2]: the value's share in the sum of both norms, and value over policy."""

        def losses_of(flat: Tensor) -> Tensor:
            named = self.flat.unflatten(flat).items()
            weights = {f"objective.{name}": weight for name, weight in named}
            return functional_call(self, weights, (batch, knobs))

        losses, pull = pullback(losses_of, theta)
        value, policy = (
            torch.linalg.vector_norm(pull(row)[0] * self.reached)
            for row in torch.eye(2, dtype=losses.dtype, device=losses.device).unbind()
        )
        return torch.stack([value / (value + policy), value / policy])


def pullback(
    function: Callable[[Tensor], Tensor], at: Tensor
) -> tuple[Tensor, Callable[[Tensor], tuple[Tensor, ...]]]:
    """`torch.func.vjp`, without the import of torch's compiler (1 s) where nothing is compiled."""
    if torch.compiler.is_compiling():
        values, pull = vjp(function, at)[:2]
        return values, pull
    with torch.enable_grad():
        leaf = at.detach().requires_grad_()
        values = function(leaf)
    return values, lambda row: torch.autograd.grad(values @ row, leaf, retain_graph=True)
