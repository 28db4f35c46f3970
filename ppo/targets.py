"""Rollout -> Batch: advantages, returns, one mixed advantage, flattened. Pure."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ppo.data import Batch, Rollout
from ppo.functional.policy import normalize_advantages
from ppo.functional.returns import generalized_advantages


class TargetSettings(NamedTuple):
    """What the targets depend on beside the rollout."""

    gamma: Tensor  # [K]
    gae_lambda: float
    component_weights: Tensor  # [K]
    normalize_batch: bool


def make_batch(rollout: Rollout, settings: TargetSettings) -> Batch:
    """GAE per component; the policy learns from the weighted sum of their advantages.

    GAE is linear in rewards and values, so with equal weights and one discount the sum is the
    advantage of the summed reward (van Seijen et al. 2017, arXiv 1706.04208).
    """
    advantages = generalized_advantages(
        rollout.rewards, rollout.values, rollout.next_values, rollout.terminated, rollout.ended,
        settings.gamma, settings.gae_lambda,
    )
    returns = (advantages + rollout.values).flatten(0, 1)
    valid = rollout.valid.flatten().to(returns.dtype)
    mixed = (advantages.flatten(0, 1) * settings.component_weights).sum(-1)
    if settings.normalize_batch:
        mixed = normalize_advantages(mixed, valid)
    return Batch(
        obs=rollout.obs.flatten(0, 1),
        actions=rollout.actions.flatten(0, 1),
        old_log_probs=rollout.log_probs.flatten(),
        old_values=rollout.values.flatten(0, 1),
        returns=returns,
        advantages=mixed,
        valid=valid,
        targets={},
    )


def weights_for(names: tuple[str, ...], chosen: dict[str, float], device: torch.device) -> Tensor:
    """[K] preferences by component name; 1 where nothing was chosen."""
    return torch.tensor([chosen.get(name, 1.0) for name in names], device=device)
