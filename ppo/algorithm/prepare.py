"""Rollout -> what the update learns from, with the health of both: one function of whole tensors.

Compiled where `system.compile` asks for it. Nothing here waits for the device: numbers leave as one
vector, which the recorder reads together with those of the update.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from ppo.algorithm import health
from ppo.algorithm.rewards import Rewards
from ppo.algorithm.targets import TargetSettings, make_batch
from ppo.core import parallel
from ppo.core.compiling import compiled, keep
from ppo.core.data import Batch, Rollout
from ppo.losses.objective import Objective
from ppo.values.scales.base import OutputLayer


class Numbers(NamedTuple):
    """Scalars by name, as one vector."""

    names: tuple[str, ...]
    values: Tensor  # [M] float64

    @classmethod
    def of(cls, scalars: dict[str, Tensor]) -> Numbers:
        columns = [value.detach().double().reshape(()) for value in scalars.values()]
        return cls(tuple(scalars), torch.stack(columns))


class Prepare:
    """Rewards -> targets -> frame of the critic -> advantages, in this order.

    Args:
        last_mean: [K] mean of the previous batch's returns; kept up to date here.
        compile_it: compile; several processes, whose statistics meet in the middle, do not.
    """

    def __init__(
        self,
        objective: Objective,
        settings: TargetSettings,
        rewards: Rewards,
        last_mean: Tensor,
        device: torch.device,
        compile_it: bool,
    ) -> None:
        self.objective, self.settings, self.rewards = objective, settings, rewards
        self.last_mean = last_mean
        fused = compile_it and not parallel.is_active()
        self._prepare = compiled(self.prepare, device) if fused else self.prepare

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
        objective: Any = self.objective
        scale = objective.value_scale
        rewards, found = self.rewards(rollout)
        found["gamma"] = self.settings.gamma.amax()
        rollout = rollout._replace(rewards=rewards)
        batch = make_batch(rollout, self.settings)
        first, layer = scale.update(batch.returns, batch.valid, self._output_layer())
        found.update(health.value_health(batch, batch.old_values, scale, self.last_mean))
        for name, values in health.component_health(batch, scale).items():
            found.update({f"component_{name}/{k}": v for k, v in enumerate(values.unbind())})
        _, means, _ = health.masked_moments(batch.returns, batch.valid)
        self.last_mean.copy_(means)
        if scale.carries_back:
            batch = batch.but(old_values=torch.where(first, scale.offset, batch.old_values))
        advantages = objective.advantage_scale(batch.advantages, batch.valid)
        return batch.but(advantages=advantages), layer, Numbers.of(found)

    def _output_layer(self) -> OutputLayer | None:
        """The critic's; its parameters take over what becomes of it after the graph.

        They are views of one vector, and a graph that changes views is slow.
        """
        agent: Any = self.objective.agent
        if not agent.value_head.linear or not self.objective.value_scale.preserves_outputs:
            return None
        critic = agent.critic
        return OutputLayer(critic.weight.detach(), critic.bias.detach(), agent.value_head.gain)
