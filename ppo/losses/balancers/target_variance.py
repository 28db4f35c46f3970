"""Losses in variances of their targets."""

from __future__ import annotations

import torch
from torch import Tensor

from ppo.losses.balancers import REGISTRY
from ppo.losses.balancers.base import Balancer


@REGISTRY.register("target_variance")
class TargetVariance(Balancer):
    """`weight_j * L_j / Var[target_j]`: 1 is a head that predicts the mean.

    Statistics are of all targets seen, not of one minibatch. A loss whose targets have no known
    variance (a cross-entropy) keeps its weight.
    """

    variance: Tensor
    count: Tensor

    def __init__(
        self, names: list[str], weights: list[float], num_outputs: list[int], **options: float
    ) -> None:
        super().__init__(names, weights, num_outputs)
        self.register_buffer("variance", torch.ones(len(names)))
        self.register_buffer("count", torch.zeros(1))

    def weights(self, losses: Tensor) -> Tensor:
        return self.base / self.variance

    @torch.no_grad()
    def observe(self, losses: Tensor, variances: Tensor, progress: float) -> None:
        known = torch.isfinite(variances) & (variances > 0)
        self.count.add_(1.0)
        moved = self.variance + (variances - self.variance) / self.count
        self.variance.copy_(torch.where(known, moved, self.variance))
