"""Scales before any training: observations, actions, rewards, returns, losses and gradients.

Everything is measured under the untrained network, or on a file of demonstrations. The result is
plain numbers; ppo/cli/inspection.py says them in words.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ppo.algorithm import health
from ppo.algorithm.automatic import chosen
from ppo.algorithm.balancing import norm_of, shared_parameters
from ppo.algorithm.build import build_learner, place, prepare_torch
from ppo.algorithm.laws.environment import history
from ppo.algorithm.learner import Learner
from ppo.config import Config
from ppo.config.units import value_loss_unit
from ppo.core.layout import Layout
from ppo.envs.make import make_environments
from ppo.envs.torch_env import TorchEnvironments
from ppo.functional.returns import generalized_advantages
from ppo.losses.base import Knobs
from ppo.policies.demonstrations import read
from ppo.policies.imitation import Imitator

NORMAL_MEAN, NORMAL_STD = 3.0, (0.2, 5.0)  # what a network takes as it is
HEAVY_KURTOSIS = 20.0  # 3 is normal, 9 exponential-like (Laplace: 6)
HEAVY_RATIO = 15.0  # p99.9 over p50 of the distance from the median; 4.9 is normal
COPY_STEPS = 200
COPIES = 4


def column(values: np.ndarray) -> dict[str, float]:
    """Mean, standard deviation, range and tails of one entry."""
    values = values.astype(np.float64)
    mean, std = float(values.mean()), float(values.std())
    distance = np.abs(values - np.median(values))
    middle, tail = np.quantile(distance, [0.5, 0.999])
    return {
        "mean": mean,
        "std": std,
        "min": float(values.min()),
        "max": float(values.max()),
        "kurtosis": float(((values - mean) ** 4).mean() / std**4) if std > 0 else math.nan,
        "tail_ratio": float(tail / middle) if middle > 0 else math.nan,
        "largest_deviations": float(np.abs(values - mean).max() / std) if std > 0 else 0.0,
    }


def is_constant(entry: dict[str, float]) -> bool:
    return not entry["std"] > 1e-6 * max(abs(entry["mean"]), 1e-6)


def verdict(entry: dict[str, float]) -> str:
    """constant, heavy (log-like squashing, then normalizing), scale (normalizing), or fine."""
    if is_constant(entry):
        return "constant"
    few_values = not math.isfinite(entry["tail_ratio"])
    wide = max(abs(entry["min"]), abs(entry["max"])) > 10.0
    heavy = entry["kurtosis"] > HEAVY_KURTOSIS or entry["tail_ratio"] > HEAVY_RATIO
    if heavy and wide and not few_values:
        return "heavy"
    low, high = NORMAL_STD
    if abs(entry["mean"]) > NORMAL_MEAN or not low <= entry["std"] <= high:
        return "scale"
    return "fine"


def columns(rows: np.ndarray) -> list[dict[str, Any]]:
    """`column` and `verdict` of every entry of rows [B, ...]."""
    flat = rows.reshape(len(rows), -1)
    found = [column(flat[:, i]) for i in range(flat.shape[1])]
    return [{**entry, "verdict": verdict(entry)} for entry in found]


# ---- an environment


def inspect_environment(config: Config, num_steps: int) -> dict[str, Any]:
    """Plays the untrained policy for at least `num_steps` steps and measures everything.

    Raises:
        UserError: the configuration does not work.
    """
    config = chosen(config)[0]
    per_env = max(2, -(-num_steps // config.env.num_envs))
    once = [f"ppo.num_steps={per_env}", "ppo.num_minibatches=1", "system.compile=never"]
    config = config.with_overrides(once)
    envs, device, _ = place(config, prepare_torch(config))
    with envs:
        learner = build_learner(config, envs, device)
        learner.start()
        rollout, _ = learner.collector(0, 0, learner.colored_share)
        found = {
            "environment": config.env.id,
            "steps": per_env * config.env.num_envs,
            "observations": _observations(learner, rollout, envs.layout),
            "actions": _actions(learner, rollout),
            "deterministic": is_deterministic(config),
        }
        found |= _rewards(learner, rollout)
        found["losses"] = _losses(learner, rollout)
    return found


def _numbers(learner: Learner, obs: Tensor) -> np.ndarray:
    """[B, D] the numbers that the normalizer sees of rows, without images seen as such."""
    normalizer: Any = learner.objective.agent.normalizer
    pixels = [np.arange(i.start, i.start + i.size) for i in normalizer.images]
    found = normalizer.read(obs).cpu().numpy()
    return np.delete(found, np.concatenate(pixels), 1) if pixels else found


def _observations(learner: Learner, rollout: Any, layout: Layout) -> list[dict[str, Any]]:
    """Of each number; those of a Dict have their key, where the numbers of all keys are there."""
    entries = columns(_numbers(learner, rollout.obs.flatten(0, 1)))
    if len(entries) == layout.num_entries:
        for key, start, stop in ((key, *span) for key, part in layout.keys for span in part):
            for i in range(start, stop):
                entries[i]["name"] = f"{key}[{i - start}]" if stop - start > 1 else key
    return entries


def _actions(learner: Learner, rollout: Any) -> dict[str, Any]:
    distribution = learner.objective.agent.distribution
    taken = distribution.to_env(rollout.actions.flatten(0, 1)).cpu().numpy()
    found: dict[str, Any] = {
        "discrete": bool(distribution.discrete),
        "entries": columns(taken.reshape(len(taken), -1)),
    }
    if not distribution.discrete:
        found["bounded"] = bool((distribution.bounded > 0).all())
        found["half_range"] = distribution.half_range.tolist()
        found["center"] = distribution.center.tolist()
        found["squash"] = distribution.squash
        # As training reports it; it reads the actions alone, of a rollout as of a batch.
        found["clipped_share"] = float(health.out_of_bounds(learner.objective, rollout))
    return found


def _rewards(learner: Learner, rollout: Any) -> dict[str, Any]:
    """Rewards and discounted returns per component, and of their sum."""
    returns = generalized_advantages(
        rollout.rewards,
        torch.zeros_like(rollout.values),
        torch.zeros_like(rollout.values),
        rollout.terminated,
        rollout.ended,
        learner.prepare.settings.gamma,
        1.0,
        rollout.valid,
    )
    names = learner.collector.envs.component_names
    rewards, sums = (x[rollout.valid].cpu().numpy() for x in (rollout.rewards, returns))
    components = {
        name: {
            "reward": column(rewards[:, k]),
            "return": column(sums[:, k]),
            "zero_share": float((rewards[:, k] == 0).mean()),
        }
        for k, name in enumerate(names)
    }
    total = sums.sum(1)
    return {"components": components, "return": column(total)}


def _losses(learner: Learner, rollout: Any) -> dict[str, Any]:
    """Every term of the first update: its size, weight, and share of loss and of gradient."""
    objective, flat = learner.objective, learner.optimizer.flat
    with torch.no_grad():
        batch, _ = learner.batch_of(rollout)
        agent = objective.agent
        few = health.probe(batch)
        _open_output_layers(objective, learner.config.system.seed)
        policy = agent.policy_params(few.obs, few.context.get("states"))
        log_probs = agent.distribution.log_prob(policy, few.actions)
        few = few._replace(old_log_probs=log_probs, old_values=objective.value_scale.from_norm(
            agent.values_norm(few.obs, few.context.get("states"))))  # fmt: skip
    knobs: Knobs = learner.knobs()[0]
    losses, _ = objective.terms(few, knobs)
    weights = {"policy": 1.0, "entropy": 1.0}
    weights |= {name: float(w) for name, w in objective.weights(losses).items()}
    # Where no encoder is shared, terms meet in the norm that gradients are cut by.
    meet = shared_parameters(flat) if agent.shared else flat.parameters
    norms = {name: float(norm_of(loss, meet)) for name, loss in losses.items()}
    # What the same network would meet if its output had to be the return itself.
    raw = (
        weights["value"]
        * (objective.predict(few).values_norm - few.returns).square().sum(-1).mean()
    )
    total = sum((weights[name] * loss for name, loss in losses.items()), torch.zeros(()))
    limit = learner.config.ppo.max_grad_norm
    variances = objective.target_variances(few).tolist()
    named = [loss.name for loss in objective.balanced_losses]
    return {
        "terms": _shares(losses, weights, norms, dict(zip(named, variances, strict=True))),
        "raw_value_loss": float((few.returns.square().sum(-1)).mean()),
        "max_grad_norm": limit,
        "cut": float(norm_of(total, flat.parameters)) / limit,
        "raw_cut": float(norm_of(raw, flat.parameters)) / limit,
        "shared_encoder": agent.shared,
        "normalized_returns": learner.config.ppo.normalize_returns,
        "value_loss_unit": learner.config.ppo.value_loss_unit,
        "unit": value_loss_unit(learner.config.ppo),
    }


def _open_output_layers(objective: Any, seed: int) -> None:
    """Output layers of gain 1: those of a start pass no gradient on, and none could be compared."""
    source = torch.Generator().manual_seed(seed)
    for layer in (objective.agent.actor, objective.agent.critic):
        fresh = torch.empty(layer.weight.shape)
        nn.init.orthogonal_(fresh, generator=source)
        layer.weight.copy_(fresh)


def _shares(
    losses: dict[str, Tensor],
    weights: dict[str, float],
    norms: dict[str, float],
    variances: dict[str, float],
) -> dict[str, dict[str, Any]]:
    sizes = {name: abs(weights[name] * float(loss.detach())) for name, loss in losses.items()}
    pulls = {name: abs(weights[name]) * norm for name, norm in norms.items()}
    all_sizes, all_pulls = sum(sizes.values()), sum(pulls.values())
    found = {}
    for name, loss in losses.items():
        norm = norms[name]
        balanced = name in variances
        found[name] = {
            "loss": float(loss.detach()),
            "weight": weights[name],
            "loss_share": sizes[name] / all_sizes if all_sizes else None,
            "gradient_norm": norm,
            "gradient_share": pulls[name] / all_pulls if all_pulls else None,
            "target_variance": variances.get(name),
            "balancing_weight": norms["policy"] / norm if balanced and norm > 0 else None,
        }
    return found


def is_deterministic(config: Config) -> dict[str, Any]:
    """Two copies with one seed and the same actions: whether they ever differ."""
    copies = {"num_envs": COPIES, "offset": config.env.num_envs}
    one, other = (history(config.env, config.system.seed, COPY_STEPS, **copies) for _ in range(2))
    differ = [step for step, pair in enumerate(zip(one, other, strict=True)) if pair[0] != pair[1]]
    return {"same": not differ, "differs_at_step": differ[0] if differ else None}


# ---- a file of demonstrations


def inspect_data(config: Config, path: Path) -> dict[str, Any]:
    """The scales in a file of demonstrations, and what a regression on them would meet.

    Raises:
        UserError: the file cannot be read or does not fit the environment.
    """
    cpu, config = torch.device("cpu"), chosen(config)[0]
    with make_environments(config.env, run_seed=0, device=cpu, num_envs=1) as envs:
        data = read(path, envs.observation_space, envs.action_space)
        action_space, count = envs.action_space, len(envs.component_names)
        native = envs.env if isinstance(envs, TorchEnvironments) else None
    found: dict[str, Any] = {
        "environment": config.env.id,
        "file": str(path),
        "steps": len(data.obs),
        "episodes": data.num_episodes,
        "observations": columns(data.obs),
        "actions": {"discrete": data.actions.dtype.kind != "f", "entries": columns(data.actions)},
    }
    if data.rewards is not None:
        found["rewards"] = column(data.rewards)
    found["regression"] = {
        name: _regression(config.with_overrides(overrides), data, action_space, count, native)
        for name, overrides in {
            "raw": ["env.normalize_observations=false", "imitation.unit=raw"],
            "normalized": ["env.normalize_observations=true", "imitation.unit=deviation"],
        }.items()
    }
    return found


def _regression(
    config: Config, data: Any, action_space: Any, num_components: int, native: Any
) -> dict[str, Any]:
    """Loss and gradient of the untrained actor against the demonstrated actions."""
    torch.manual_seed(config.system.seed)
    weight = config.imitation.trajectory_weight
    state = native.state_of(torch.as_tensor(data.obs[:1])) if native is not None else None
    if state is not None and not weight:
        config = config.with_overrides(["imitation.trajectory_weight=1.0"])
    imitator = Imitator(config, data, action_space, num_components, native)
    if config.imitation.unit == "raw" and not imitator.frame.discrete:
        # As without any statistics of the actions.
        imitator.frame.mean = torch.zeros_like(imitator.frame.mean)
        imitator.frame.std = 1.0 / imitator.agent.distribution.half_range
    segments = imitator.learning.select(torch.arange(min(512, len(imitator.learning.mask))))
    losses = imitator.losses(segments)
    parameters = imitator.parameters()
    unit = torch.ones(1) if imitator.frame.discrete else imitator.action_unit()
    scaled = torch.as_tensor(data.actions).float() / unit
    mean = scaled.mean(0) if config.imitation.unit == "deviation" else torch.zeros(1)
    scaled = scaled - (0.0 if imitator.frame.discrete else mean)
    norm = float(norm_of(losses[0], parameters))
    return {
        "losses": dict(zip(imitator.names, losses.tolist(), strict=True)),
        "gradient_norms": dict(
            zip(imitator.names, imitator.gradient_norms(losses.unbind()).tolist(), strict=True)
        ),
        "target_std": float(scaled.std()),
        "target_min": float(scaled.min()),
        "target_max": float(scaled.max()),
        "largest_sample_loss": float(scaled.square().max()),
        "max_grad_norm": config.imitation.max_grad_norm,
        "cut": norm / config.imitation.max_grad_norm,
    }
