"""Rollout -> Batch: advantages, returns, one mixed advantage, flattened. Pure."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ppo.core.data import Batch, Rollout
from ppo.core.errors import UserError
from ppo.core.registry import nearest
from ppo.functional.policy import normalize_advantages
from ppo.functional.returns import generalized_advantages


class TargetSettings(NamedTuple):
    """What the targets depend on beside the rollout."""

    gamma: Tensor  # [K]
    gae_lambda: float
    component_weights: Tensor  # [K]
    normalize_components: bool


def make_batch(rollout: Rollout, settings: TargetSettings) -> Batch:
    """GAE per component; the policy learns from the weighted sum of their advantages.

    GAE is linear in rewards and values, so with equal weights and one discount the sum is the
    advantage of the summed reward (van Seijen et al. 2017, arXiv 1706.04208). Normalized
    components make the weights preferences without units.
    """
    advantages = generalized_advantages(
        rollout.rewards,
        rollout.values,
        rollout.next_values,
        rollout.terminated,
        rollout.ended,
        settings.gamma,
        settings.gae_lambda,
        rollout.valid,
    )
    valid = rollout.valid.flatten().to(advantages.dtype)
    return Batch(
        obs=rollout.obs.flatten(0, 1),
        actions=rollout.actions.flatten(0, 1),
        old_log_probs=rollout.log_probs.flatten(),
        old_values=rollout.values.flatten(0, 1),
        returns=(advantages + rollout.values).flatten(0, 1),
        advantages=mix(advantages.flatten(0, 1), valid, settings),
        valid=valid,
        targets={},
        context={name: part.flatten(0, 1) for name, part in rollout.context.items()},
        length=rollout.obs.shape[0] if rollout.context else 1,
    )


def mix(advantages: Tensor, valid: Tensor, settings: TargetSettings) -> Tensor:
    """One advantage [B] of [B, K]."""
    if settings.normalize_components:
        columns = [normalize_advantages(column, valid) for column in advantages.unbind(-1)]
        advantages = torch.stack(columns, -1)
    return (advantages * settings.component_weights).sum(-1)


def by_component(names: tuple[str, ...], chosen: dict[str, float], default: float) -> Tensor:
    """[K] numbers by component name.

    Raises:
        UserError: a chosen name is no component of the environment.
    """
    unknown = [name for name in chosen if name not in names]
    if unknown:
        raise UserError(
            f"ppo.component_*: no reward component {unknown[0]!r}"
            f"{nearest(unknown[0], list(names))} (known: {', '.join(names)})"
        )
    return torch.tensor([chosen.get(name, default) for name in names])
