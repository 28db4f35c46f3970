"""Learned uncertainty weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ppo.losses.balancers import REGISTRY
from ppo.losses.balancers.base import Balancer

TINY = 1e-30
BOUND = 10.0  # distance of log sigma^2 from the first loss's logarithm


@REGISTRY.register("uncertainty")
class Uncertainty(Balancer):
    """`sum_j weight_j (L_j / (2 sigma_j^2) + log sigma_j)` (Kendall et al. 2018, arXiv 1705.07115).

    With `s = log sigma^2` learned by the optimizer. At its optimum every term weighs 1/2, so it
    equals dividing each loss by its own running mean, up to lag. Differences from the paper: `s`
    starts at the logarithm of the first batch's loss, not at 0, and stays within 10 of it, so that
    the losses' size does not matter; within the first batch each minibatch sets its own. A loss
    below 0 keeps weight 1 (the likelihood behind the formula does not exist there).
    """

    start: Tensor
    started: Tensor

    def __init__(
        self, names: list[str], weights: list[float], num_outputs: list[int], **options: float
    ) -> None:
        super().__init__(names, weights, num_outputs)
        self.log_variance = nn.Parameter(torch.zeros(len(names)))
        self.register_buffer("start", torch.zeros(len(names)))
        self.register_buffer("started", torch.zeros(len(names), dtype=torch.bool))

    def bounded(self, losses: Tensor) -> Tensor:
        """log sigma^2 [J], within its bounds."""
        now = losses.detach().clamp(min=TINY).log()
        start = torch.where(self.started, self.start, now)
        return start + self.log_variance.clamp(-BOUND, BOUND)

    def forward(self, losses: Tensor) -> tuple[Tensor, Tensor]:
        s = self.bounded(losses)
        likely = losses.detach() > 0
        precision = torch.where(likely, 0.5 * (-s).exp(), torch.ones_like(s))
        penalty = torch.where(likely, 0.5 * s, torch.zeros_like(s))
        weights = self.base * precision
        return (weights * losses).sum() + (self.base * penalty).sum(), weights.detach()

    @torch.no_grad()
    def observe(self, losses: Tensor, variances: Tensor, progress: float) -> None:
        known = losses > 0
        first = ~self.started & known
        self.start.copy_(torch.where(first, losses.clamp(min=TINY).log(), self.start))
        self.started.logical_or_(known)
