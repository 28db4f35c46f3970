"""Weights relative to the first loss: a curriculum and an adaptive ratio."""

from __future__ import annotations

import torch
from torch import Tensor

from ppo.losses.balancers import REGISTRY
from ppo.losses.balancers.base import BOUND, Balancer, Smoothed


@REGISTRY.register("curriculum")
class Curriculum(Balancer):
    """All losses but the first wait `delay` batches, then ramp up over `ramp` batches."""

    progress: Tensor
    main: Tensor

    def __init__(
        self,
        names: list[str],
        weights: list[float],
        num_outputs: list[int],
        delay: float = 50,
        ramp: float = 100,
        **options: float,
    ) -> None:
        super().__init__(names, weights, num_outputs)
        self.delay, self.ramp = delay, ramp
        self.register_buffer("progress", torch.zeros(1))
        main = torch.zeros(len(names))
        main[0] = 1.0
        self.register_buffer("main", main, persistent=False)

    def weights(self, losses: Tensor) -> Tensor:
        share = ((self.progress - self.delay) / self.ramp).clamp(0.0, 1.0)
        return self.base * (self.main + (1.0 - self.main) * share)

    @torch.no_grad()
    def observe(self, losses: Tensor, variances: Tensor, progress: float) -> None:
        self.progress.fill_(progress)


@REGISTRY.register("adaptive")
class Adaptive(Smoothed):
    """`w_j = stop(L_0 / L_j)`, smoothed over batches and bounded: every term as large as the first.

    The bound keeps a vanishing loss from being amplified without end.
    """

    def weights(self, losses: Tensor) -> Tensor:
        size = torch.where(self.mean > 0, self.mean, losses.abs())
        ratio = size[0] / torch.where(size > 0, size, torch.ones_like(size))
        return self.base * ratio.clamp(1.0 / BOUND, BOUND)

    @torch.no_grad()
    def observe(self, losses: Tensor, variances: Tensor, progress: float) -> None:
        self.mean.copy_(self.moved(losses.abs()))
