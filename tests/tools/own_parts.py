"""Parts as a user would write them, one of each kind."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ppo import AuxiliaryLoss, Balancer, Encoder, Memory, ValueClip, ValueHead, ValueScale


class Residual(Encoder):
    """Layers that torch starts as it likes, with a count of its calls in a buffer."""

    def __init__(self, layout: Any, config: Any, source: Any, width: int = 16) -> None:
        super().__init__()
        self.num_features = width
        self.first = nn.Linear(self.numbers(layout)[0], width)
        self.second = nn.Linear(width, width)
        self.register_buffer("shift", torch.ones(width))

    def forward(self, numbers: Tensor, obs: Tensor) -> Tensor:
        x = torch.tanh(self.first(numbers))
        return x + torch.relu(self.second(x)) * self.shift


class Leaky(Memory):
    """A moving mean of the features."""

    def __init__(self, num_features: int, size: int, source: Any, keep: float = 0.5) -> None:
        super().__init__()
        self.num_states = self.num_features = size
        self.layer, self.keep = nn.Linear(num_features, size), keep

    def project(self, features: Tensor) -> Tensor:
        return self.layer(features)

    def cell(self, projected: Tensor, state: Tensor) -> Tensor:
        return torch.tanh(self.keep * state + projected)

    def read(self, state: Tensor) -> Tensor:
        return state


class Expectile(ValueHead):
    """Errors above the prediction weigh more; a learned weight too, so that it has a parameter."""

    def __init__(self, units: Any, share: float = 0.7) -> None:
        super().__init__(units)
        self.share = share
        self.temperature = nn.Parameter(torch.zeros(()))

    def loss(self, output: Tensor, values_norm: Tensor, targets_norm: Tensor) -> Tensor:
        error = (targets_norm - values_norm) / self.loss_unit
        weight = torch.where(error > 0, self.share, 1 - self.share)
        return weight * error.square() * (1 + self.temperature.square())


class Slow(ValueScale):
    """Standardized returns whose statistics remember every batch, or give each a least share."""

    def __init__(self, *args: Any, least: float = 0.0) -> None:
        super().__init__(*args)
        self.least = least

    def frame(self, mean: Tensor, std: Tensor) -> tuple[Tensor, Tensor]:
        return mean, torch.where(std > 0, std, torch.ones_like(std)) / self.return_scale

    def memory(self, seen: Tensor) -> Tensor:
        return (1.0 / seen).clamp(min=self.least)


class Shrinking(ValueClip):
    """Its width is a buffer, and so in checkpoints."""

    def __init__(self, epsilon: float, floor: float, factor: float = 0.5) -> None:
        super().__init__(epsilon, floor)
        self.register_buffer("factor", torch.tensor(factor))

    def width(self, old_values: Tensor, std: Tensor, size: Tensor) -> Tensor:
        return (self.factor * self.epsilon * std.float() / size).expand_as(old_values)


class Even(Balancer):
    """Each loss by its first size."""

    def __init__(self, names: Any, weights: Any, num_outputs: Any, power: float = 1.0) -> None:
        super().__init__(names, weights, num_outputs)
        self.power = power
        self.register_buffer("size", torch.zeros(len(names)))

    def weights(self, losses: Tensor) -> Tensor:
        return self.base / torch.where(self.size > 0, self.size, torch.ones_like(self.size))

    @torch.no_grad()
    def observe(self, losses: Tensor, variances: Tensor, progress: float) -> None:
        self.size.copy_(torch.where(self.size > 0, self.size, losses.abs() ** self.power))


class NextReward(AuxiliaryLoss):
    """Whether the next observation's first entry is larger than this one's."""

    num_outputs = 1

    def __init__(self, *args: Any, width: int = 4, **more: Any) -> None:
        self.width = width
        super().__init__(*args, **more)

    def make_head(self, num_features: int, num_obs: int) -> nn.Module:
        return nn.Sequential(nn.Linear(num_features, self.width), nn.Linear(self.width, 1))

    def targets(self, rollout: Any) -> dict[str, Tensor]:
        first = rollout.obs[..., 0]
        grows = (first[1:] > first[:-1]).float()
        target = torch.cat([grows, torch.zeros_like(grows[:1])]).reshape(-1, 1)
        last = torch.zeros_like(rollout.ended)
        last[-1] = True
        mask = (rollout.valid & ~rollout.ended & ~last).reshape(-1, 1)
        return {self.name: target, f"{self.name}_mask": mask}

    def errors(self, prediction: Any, batch: Any) -> Tensor:
        return (self.head(prediction.features) - batch.targets[self.name]).square()
