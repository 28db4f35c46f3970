"""The critics' loss: one head per reward component, in network units."""

from __future__ import annotations

import torch
from torch import Tensor

from ppo.config import PPOConfig
from ppo.core.data import Batch, Prediction
from ppo.functional.moments import masked_mean, masked_moments
from ppo.functional.value import blocked, clip_to_old, pessimistic
from ppo.losses import REGISTRY
from ppo.losses.base import Knobs, Loss, Parts, Term


@REGISTRY.register("value")
class ValueLoss(Loss):
    """Sum over components of the mean clipped loss; a mean would slow each of K heads by K.

    Old values and returns are brought into the current frame here, so clip center and target
    share it.
    """

    name = "value"

    def __init__(self, config: PPOConfig, parts: Parts) -> None:
        self.head, self.scale, self.clip = parts.value_head, parts.value_scale, parts.value_clip
        self.clips = self.clip.active and self.head.clippable
        self.plain = config.value_clip_form == "plain"
        self.weight = config.value_loss_weight

    def __call__(self, prediction: Prediction, batch: Batch, knobs: Knobs) -> Term:
        scale, output, values_norm = self.scale, prediction.value_output, prediction.values_norm
        targets_norm = scale.to_norm(batch.returns)
        losses = self.head.loss(output, values_norm, targets_norm)
        stopped = torch.zeros_like(values_norm)
        if self.clips:
            old_norm = scale.to_norm(batch.old_values)
            width = self.clip.width(batch.old_values, scale.std, scale.size)
            moved = clip_to_old(values_norm, old_norm, width)
            clipped = self.head.loss(output, moved, targets_norm)
            losses = clipped if self.plain else pessimistic(losses, clipped)
            stopped = blocked(values_norm, old_norm, targets_norm, width, self.plain).float()
        # A component whose returns have all been zero has no scale yet and is not trained.
        per_component = masked_mean(losses, batch.valid) * scale.ready.to(losses.dtype)
        loss = per_component.sum()
        error = masked_mean((values_norm - targets_norm).square(), batch.valid)
        metrics = {
            "value_loss": loss,
            "value_clip_fraction": masked_mean(stopped, batch.valid).mean(),
            "max_sample_value_loss": (losses * batch.valid.unsqueeze(-1)).amax(),
            "squared_error": error.mean(),
        }
        for k in range(values_norm.shape[1]):
            metrics[f"component_loss/{k}"] = per_component[k]
            metrics[f"component_squared_error/{k}"] = error[k]
        return Term(loss, {name: value.detach() for name, value in metrics.items()})

    def target_variance(self, batch: Batch) -> Tensor:
        """Summed over components, as the loss is; heads of bins have no such unit."""
        if not self.head.linear:
            return torch.full((), torch.nan)
        _, _, variance = masked_moments(self.scale.to_norm(batch.returns), batch.valid)
        return (variance.float() * self.scale.ready).sum() / self.head.loss_unit**2
