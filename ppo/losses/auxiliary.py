"""Auxiliary tasks on the shared features: next observations, time to the end, success.

Each is a mean over its active elements, so that masks, batch size and dimensions don't matter.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ppo.config import AuxiliaryConfig
from ppo.core.data import Batch, Prediction, Rollout
from ppo.functional.horizons import at_end, until_end, window_mask, windows
from ppo.losses import AUXILIARY
from ppo.losses.base import Knobs, Loss, Term
from ppo.networks.agent import Agent


class AuxiliaryLoss(Loss):
    """A task with a head of its own, which is all that it may learn or remember.

    Args:
        config: section `auxiliary`.
        agent: for its normalized observations and its action distribution.
        num_features: F. num_obs: D, entries of a normalized observation.
        weight: of the loss.

    Attributes:
        name: in records and of the targets; of the class, unless another one is given.
        num_outputs: entries of the head's output.
    """

    def __init__(
        self,
        config: AuxiliaryConfig,
        agent: Agent,
        num_features: int,
        num_obs: int,
        weight: float = 1.0,
    ) -> None:
        self.config, self.agent, self.weight = config, agent, weight
        self.head = self.make_head(num_features, num_obs)

    def __init_subclass__(cls) -> None:
        if not hasattr(cls, "name"):
            cls.name = cls.__name__

    def make_head(self, num_features: int, num_obs: int) -> nn.Module:
        """What predicts the targets from features [B, F]; it also holds any state of the loss."""
        raise NotImplementedError

    def targets(self, rollout: Rollout) -> dict[str, Tensor]:
        """Named targets [B, ...] and `<name>_mask`, from a rollout [T, N, ...]."""
        raise NotImplementedError

    def errors(self, prediction: Prediction, batch: Batch) -> Tensor:
        """Loss of each element, in the shape of the mask."""
        raise NotImplementedError

    def __call__(self, prediction: Prediction, batch: Batch, knobs: Knobs) -> Term:
        mask = batch.targets[f"{self.name}_mask"].to(batch.advantages.dtype)
        active = mask.sum().clamp(min=1.0)
        loss = (self.errors(prediction, batch) * mask).sum() / active
        return Term(loss, {f"auxiliary_loss/{self.name}": loss.detach()})

    def column_variance(self, batch: Batch) -> Tensor:
        """Mean over active elements of the variance of their column: the loss of its means."""
        target = batch.targets[self.name]
        mask = batch.targets[f"{self.name}_mask"].to(target.dtype)
        count = mask.sum(0).clamp(min=1.0)
        mean = (target * mask).sum(0) / count
        return ((target - mean).square() * mask).sum() / mask.sum().clamp(min=1.0)


@AUXILIARY.register("trajectory")
class TrajectoryLoss(AuxiliaryLoss):
    """The next H normalized observations, given the actions taken on the way (squared error)."""

    name = "trajectory"

    def make_head(self, num_features: int, num_obs: int) -> nn.Module:
        horizon = self.config.trajectory_horizon
        self.num_outputs = horizon * num_obs
        distribution = self.agent.distribution
        entries = distribution.num_params if distribution.discrete else distribution.num_actions
        return nn.Linear(num_features + horizon * entries, self.num_outputs)

    def _encoded(self, actions: Tensor) -> Tensor:
        """Actions as inputs of the head: normalized units, or one-hot."""
        distribution = self.agent.distribution
        if not distribution.discrete or not hasattr(distribution, "sizes"):
            return actions.float()
        parts = [F.one_hot(actions[..., i], n) for i, n in enumerate(distribution.sizes)]
        return torch.cat(parts, -1).float()

    def targets(self, rollout: Rollout) -> dict[str, Tensor]:
        horizon = self.config.trajectory_horizon
        obs = self.agent.predicted(rollout.obs.flatten(0, 1)).unflatten(0, rollout.obs.shape[:2])
        actions = self._encoded(rollout.actions)
        # The action at step t leads to the first row, so the actions are t, t + 1, ...
        taken = torch.cat([actions.unsqueeze(2), windows(actions, horizon)[:, :, :-1]], 2)
        mask = window_mask(rollout.ended, horizon) & rollout.valid.unsqueeze(-1)
        wide = mask.unsqueeze(-1).expand(*mask.shape, obs.shape[-1])
        return {
            "trajectory": windows(obs, horizon).flatten(2).flatten(0, 1),
            "trajectory_actions": taken.flatten(2).flatten(0, 1),
            "trajectory_mask": wide.flatten(2).flatten(0, 1),
        }

    def errors(self, prediction: Prediction, batch: Batch) -> Tensor:
        inputs = torch.cat([prediction.features, batch.targets["trajectory_actions"]], -1)
        return (self.head(inputs) - batch.targets["trajectory"]).square()

    def target_variance(self, batch: Batch) -> Tensor:
        return self.column_variance(batch)


@AUXILIARY.register("time_to_end")
class TimeToEndLoss(AuxiliaryLoss):
    """Share of the horizon left until the episode ends: one scalar, or one output per step.

    Per step: output h: whether the episode still runs h steps later (binary).
    """

    name = "time_to_end"

    def make_head(self, num_features: int, num_obs: int) -> nn.Module:
        per_step = self.config.time_to_end_outputs == "per_step"
        self.num_outputs = self.config.time_to_end_horizon if per_step else 1
        return nn.Linear(num_features, self.num_outputs)

    def targets(self, rollout: Rollout) -> dict[str, Tensor]:
        horizon = self.config.time_to_end_horizon
        steps, known = until_end(rollout.ended)
        cut = at_end(rollout.cut.float(), rollout.ended) > 0.5  # nobody saw where that would end
        known = known & rollout.valid & ~cut
        if self.config.time_to_end_outputs == "scalar":
            target = (steps / horizon).clamp(max=1.0).unsqueeze(-1)
        else:
            ahead = torch.arange(1, horizon + 1, device=steps.device)
            target = (steps.unsqueeze(-1) > ahead).float()
        mask = known.unsqueeze(-1).expand_as(target)
        return {"time_to_end": target.flatten(0, 1), "time_to_end_mask": mask.flatten(0, 1)}

    def errors(self, prediction: Prediction, batch: Batch) -> Tensor:
        output, target = self.head(prediction.features), batch.targets["time_to_end"]
        if self.config.time_to_end_outputs == "scalar":
            return (output - target).square()
        return F.binary_cross_entropy_with_logits(output, target, reduction="none")

    def target_variance(self, batch: Batch) -> Tensor:
        if self.config.time_to_end_outputs == "scalar":
            return self.column_variance(batch)
        return super().target_variance(batch)


@AUXILIARY.register("success")
class SuccessLoss(AuxiliaryLoss):
    """Whether the episode will end in success (binary cross-entropy)."""

    name = "success"

    def make_head(self, num_features: int, num_obs: int) -> nn.Module:
        return nn.Linear(num_features, 1)

    def targets(self, rollout: Rollout) -> dict[str, Tensor]:
        said = torch.isfinite(rollout.success) & rollout.ended
        outcome = torch.nan_to_num(rollout.success)
        known = at_end(said.float(), rollout.ended) > 0.5
        label = at_end(outcome, rollout.ended)
        mask = known & rollout.valid
        return {
            "success": label.flatten().unsqueeze(-1),
            "success_mask": mask.flatten().unsqueeze(-1),
        }

    def errors(self, prediction: Prediction, batch: Batch) -> Tensor:
        output = self.head(prediction.features)
        return F.binary_cross_entropy_with_logits(
            output, batch.targets["success"], reduction="none"
        )
