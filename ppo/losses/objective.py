"""From a minibatch to one number: the only place where losses meet.

One module holds everything that learns or has statistics, so its `state_dict` is what a
checkpoint keeps and its parameters are what the optimizer moves.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ppo.core.data import Batch, Prediction, Rollout
from ppo.losses.advantages import AdvantageScale
from ppo.losses.balancers.base import Balancer
from ppo.losses.base import Knobs, Loss
from ppo.networks.agent import Agent
from ppo.values.clips import ValueClip
from ppo.values.scale import ValueScale

WEIGHT = "weight/"  # before the name of a loss: the metric of the weight it had


class Objective(nn.Module):
    """`total = policy_loss + balancer(value and auxiliary losses) - entropy_coefficient * entropy`.

    Args:
        agent: the network.
        value_scale: the critic's frame, kept here so that it is saved with the network.
        free_losses: terms that no balancer touches (policy, entropy).
        balanced_losses: terms that the balancer weighs.
        balancer: maps [J] losses to a total and the weights in force.
        advantage_scale: applied to a batch before its update; kept here because it may have state.
        heads: heads of the auxiliary losses, on the agent's features.
        value_clip: of the value loss, kept here because one of the user's may have state.
    """

    def __init__(
        self,
        agent: Agent,
        value_scale: ValueScale,
        free_losses: list[Loss],
        balanced_losses: list[Loss],
        balancer: Balancer,
        advantage_scale: AdvantageScale,
        heads: nn.ModuleDict,
        value_clip: ValueClip,
    ) -> None:
        super().__init__()
        self.agent, self.value_scale, self.balancer = agent, value_scale, balancer
        self.advantage_scale, self.value_clip, self.heads = advantage_scale, value_clip, heads
        self.free_losses, self.balanced_losses = free_losses, balanced_losses

    def predict(self, batch: Batch) -> Prediction:
        """The network's prediction for a batch."""
        return self.agent(batch.obs, length=batch.length, **batch.context)

    def terms(self, batch: Batch, knobs: Knobs) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Every loss by name, unweighted, and every metric by name."""
        prediction = self.predict(batch)
        losses: dict[str, Tensor] = {}
        metrics: dict[str, Tensor] = {}
        for loss in [*self.free_losses, *self.balanced_losses]:
            term = loss(prediction, batch, knobs)
            losses[loss.name] = term.loss
            metrics.update(term.metrics)
        return losses, metrics

    def targets(self, rollout: Rollout) -> dict[str, Tensor]:
        """The targets of the auxiliary losses, from a rollout."""
        found: dict[str, Tensor] = {}
        for loss in self.balanced_losses:
            found.update(loss.targets(rollout))
        return found

    def weights(self, losses: dict[str, Tensor]) -> dict[str, Tensor]:
        """The weights that the balancer gives to losses of these sizes, by name."""
        names = [loss.name for loss in self.balanced_losses]
        _, weights = self.balancer(torch.stack([losses[name].detach() for name in names]))
        return dict(zip(names, weights.detach().unbind(), strict=True))

    def target_variances(self, batch: Batch) -> Tensor:
        """[J] losses of predicting each target's mean; NaN where that has no meaning."""
        found = [loss.target_variance(batch) for loss in self.balanced_losses]
        return torch.stack([value.to(batch.returns.device) for value in found]).float()

    def forward(self, batch: Batch, knobs: Knobs) -> tuple[Tensor, dict[str, Tensor]]:
        """Total loss (scalar), metrics (detached scalars)."""
        losses, metrics = self.terms(batch, knobs)
        balanced = torch.stack([losses[loss.name] for loss in self.balanced_losses])
        total, weights = self.balancer(balanced)
        for loss in self.free_losses:
            total = total + losses[loss.name]
        metrics["total_loss"] = total.detach()
        for loss, weight in zip(self.balanced_losses, weights.unbind(), strict=True):
            metrics[WEIGHT + loss.name] = weight.detach()
            metrics[f"loss/{loss.name}"] = losses[loss.name].detach()
        return total, metrics
