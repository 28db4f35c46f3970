"""Losses divided by their own size."""

from __future__ import annotations

import torch
from torch import Tensor

from ppo.losses.balancers import REGISTRY
from ppo.losses.balancers.base import Balancer, Smoothed

FLOOR = 1e-3  # share of the first mean: a vanishing loss is not amplified without end


@REGISTRY.register("running_mean")
class RunningMean(Smoothed):
    """`weight_j * L_j / m_j * sqrt(outputs_j)`, m_j a moving mean of L_j.

    A mean over n outputs shrinks each output's gradient by n; summed over n uncorrelated outputs
    the shared encoder gets 1 / sqrt(n), which the root restores. Momentum 0.95; during the first
    `warmup` batches m_j is the plain mean so far.
    """

    gradient_scale = True
    first: Tensor
    count: Tensor

    def __init__(
        self,
        names: list[str],
        weights: list[float],
        num_outputs: list[int],
        momentum: float = 0.95,
        warmup: float = 10,
        **options: float,
    ) -> None:
        super().__init__(names, weights, num_outputs, momentum)
        self.warmup = warmup
        self.register_buffer("first", torch.zeros(len(names)))
        self.register_buffer("count", torch.zeros(1))

    def weights(self, losses: Tensor) -> Tensor:
        mean = torch.maximum(self.mean, FLOOR * self.first)
        # Before the first batch has been seen, the minibatch itself sets the size.
        size = torch.where(mean > 0, mean, losses.abs())
        size = torch.where(size > 0, size, torch.ones_like(size))
        scale = self.num_outputs.sqrt() if self.gradient_scale else 1.0
        return self.base * scale / size

    @torch.no_grad()
    def observe(self, losses: Tensor, variances: Tensor, progress: float) -> None:
        size = losses.abs()
        self.count.add_(1.0)
        share = torch.where(self.count <= self.warmup, 1.0 / self.count, 1.0 - self.momentum)
        self.mean.add_(share * (size - self.mean))
        self.first.copy_(torch.where(self.first > 0, self.first, size))


@REGISTRY.register("running_mean_uncorrected")
class UncorrectedRunningMean(RunningMean):
    """The same without the root: the documented failure of a wide head beside a small one."""

    gradient_scale = False


@REGISTRY.register("batch_statistics")
class BatchStatistics(Balancer):
    """`weight_j * L_j / stop(L_j) * sqrt(outputs_j)`: the size of this minibatch alone.

    The divisor is a constant, so the gradient survives; dividing by the loss itself would leave
    none.
    """

    def weights(self, losses: Tensor) -> Tensor:
        size = losses.abs()
        size = torch.where(size > 0, size, torch.ones_like(size))
        return self.base * self.num_outputs.sqrt() / size
