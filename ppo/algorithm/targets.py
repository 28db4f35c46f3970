"""Rollout -> Batch: advantages, returns, one mixed advantage, flattened. Pure."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ppo.core.data import Batch, Rollout
from ppo.core.errors import UserError
from ppo.core.registry import nearest
from ppo.functional.moments import masked_moments
from ppo.functional.policy import normalize_advantages
from ppo.functional.returns import generalized_advantages


class TargetSettings(NamedTuple):
    """What the targets depend on beside the rollout."""

    gamma: Tensor  # [K]
    gae_lambda: float
    critic_gae_lambda: float | None  # None: the same
    component_weights: Tensor  # [K]
    normalize_components: bool
    advantage_floor: float  # of normalized components, in deviations of each one's return


def make_batch(rollout: Rollout, settings: TargetSettings) -> Batch:
    """GAE per component; the policy learns from the weighted sum of their advantages.

    GAE is linear in rewards and values, so with equal weights and one discount the sum is the
    advantage of the summed reward (van Seijen et al. 2017, arXiv 1706.04208). Normalized
    components make the weights preferences without units.
    """

    def gae(gae_lambda: float) -> Tensor:
        return generalized_advantages(
            rollout.rewards,
            rollout.values,
            rollout.next_values,
            rollout.terminated,
            rollout.ended,
            settings.gamma,
            gae_lambda,
            rollout.valid,
        )

    advantages = gae(settings.gae_lambda)
    own = settings.critic_gae_lambda
    critic_advantages = advantages if own is None else gae(own)
    valid = rollout.valid.flatten().to(advantages.dtype)
    returns = (critic_advantages + rollout.values).flatten(0, 1)
    return Batch(
        obs=rollout.obs.flatten(0, 1),
        actions=rollout.actions.flatten(0, 1),
        old_log_probs=rollout.log_probs.flatten(),
        old_values=rollout.values.flatten(0, 1),
        returns=returns,
        advantages=mix(advantages.flatten(0, 1), returns, valid, settings),
        valid=valid,
        targets={},
        context={name: part.flatten(0, 1) for name, part in rollout.context.items()},
        length=rollout.obs.shape[0] if rollout.context else 1,
    )


def mix(advantages: Tensor, returns: Tensor, valid: Tensor, settings: TargetSettings) -> Tensor:
    """One advantage [B] of [B, K]; normalized components have a floor in their returns' unit."""
    if settings.normalize_components:
        _, _, variance = masked_moments(returns, valid)
        floors = settings.advantage_floor * variance.sqrt()
        columns = [
            normalize_advantages(column, valid, floor)
            for column, floor in zip(advantages.unbind(-1), floors.unbind(), strict=True)
        ]
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
