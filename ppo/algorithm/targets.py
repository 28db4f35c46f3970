"""Rollout -> Batch: all that the update learns from, with the health of rewards and values.

`make_batch` is pure: advantages, returns, one mixed advantage, flattened. `Prepare` treats the
rewards before it and moves the critic's frame after it, compiled where `system.compile` asks for
it. Nothing here waits for the device: numbers leave as one vector, which the recorder reads
together with those of the update.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ppo.algorithm import health
from ppo.algorithm.health import Numbers
from ppo.algorithm.rewards import Rewards
from ppo.core import parallel
from ppo.core.compiling import fix_addresses, keep
from ppo.core.data import Batch, Rollout
from ppo.core.errors import UserError
from ppo.core.recording import faster
from ppo.core.registry import nearest
from ppo.functional.policy import normalize_advantages
from ppo.functional.returns import generalized_advantages
from ppo.losses.objective import Objective
from ppo.values.scale import OutputLayer


class TargetSettings(NamedTuple):
    """What the targets depend on beside the rollout."""

    gamma: Tensor  # [K]
    gae_lambda: float
    component_weights: Tensor  # [K]
    normalize_components: bool
    over_ranks: bool = False  # their moments are those of all processes


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
        columns = [
            normalize_advantages(column, valid, settings.over_ranks)
            for column in advantages.unbind(-1)
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


NO_SIGNAL = (
    "every advantage is 0 although returns differ: the policy learns nothing from this batch; "
    "returns differ by less than a millionth of their size (subtract an offset from the rewards), "
    "or ppo.component_weights are 0"
)


def silence(values: dict[str, float]) -> list[str]:
    """An event where a batch's figures say that its policy learns nothing from it."""
    silent = values["zero_advantages"] and values["return_max"] > values["return_min"]
    return [NO_SIGNAL] if silent else []


class Prepare:
    """Rewards -> targets -> frame of the critic -> advantages, in this order.

    Args:
        last_mean: [K] mean of the previous batch's returns; kept up to date here.
    """

    def __init__(
        self,
        objective: Objective,
        settings: TargetSettings,
        rewards: Rewards,
        last_mean: Tensor,
    ) -> None:
        self.objective, self.settings, self.rewards = objective, settings, rewards
        self.last_mean = last_mean
        fix_addresses(last_mean)

    def run_as(self, graphs: bool, batches: float) -> None:
        """From now on by a compiled graph, or eagerly and recorded in so many batches of the run;
        several processes, whose statistics meet in the middle, do neither."""
        make, alone = faster(graphs, self.last_mean.device, batches), not parallel.is_active()
        self._prepare = make(self.prepare) if alone else self.prepare

    @torch.no_grad()
    def __call__(self, rollout: Rollout) -> tuple[Batch, Numbers]:
        """The batch, and the numbers known already."""
        batch, layer, numbers = keep(self._prepare(rollout))
        if layer is not None:
            critic = self.objective.agent.critic
            critic.weight.copy_(layer.weight)
            critic.bias.copy_(layer.bias)
        return batch, numbers

    def prepare(self, rollout: Rollout) -> tuple[Batch, OutputLayer | None, Numbers]:
        objective = self.objective
        scale = objective.value_scale
        rewards, found = self.rewards(rollout)
        found["steps"] = parallel.sum_((~rollout.dummy).sum().double())
        found["gamma"] = self.settings.gamma.amax()
        rollout = rollout._replace(rewards=rewards)
        batch = make_batch(rollout, self.settings)
        first, layer = scale.update(
            batch.returns, batch.valid, self._output_layer(), batch.old_values
        )
        values, means = health.value_health(batch, scale, self.last_mean)
        found.update(values)
        self.last_mean.copy_(means)
        if scale.carries_back:
            batch = batch.but(old_values=torch.where(first, scale.offset, batch.old_values))
        advantages = objective.advantage_scale(batch.advantages, batch.valid)
        found["zero_advantages"] = objective.advantage_scale.are_zero(advantages, batch.valid)
        return batch.but(advantages=advantages), layer, Numbers.of(found)

    def _output_layer(self) -> OutputLayer | None:
        """The critic's; its parameters take over what becomes of it after the graph.

        They are views of one vector, and a graph that changes views is slow.
        """
        agent = self.objective.agent
        if not agent.value_head.linear or not self.objective.value_scale.preserves_outputs:
            return None
        critic = agent.critic
        return OutputLayer(critic.weight.detach(), critic.bias.detach(), agent.value_head.gain)
