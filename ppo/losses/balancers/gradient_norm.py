"""Losses whose gradients on the shared parameters are equally long."""

from __future__ import annotations

import torch
from torch import Tensor

from ppo.losses.balancers import REGISTRY
from ppo.losses.balancers.base import BOUND, Smoothed


@REGISTRY.register("gradient_norm")
class GradientNorm(Smoothed):
    """`w_j = max_k |g_k| / |g_j|`: the gradient balancing of DB-MTL (Lin et al. 2023, arXiv
    2308.12029, section 3.2) as weights.

    Norms are moving means of measurements on a probe of each batch, before its update. Differences:
    the paper measures at every step and averages gradients, not norms; its logarithm of the loss
    changes no direction once the norms are equal, and is left out. Ratios are bounded. A loss
    without a gradient (an output layer that is still zero) keeps its weight.
    """

    reads_gradients = True

    def weights(self, losses: Tensor) -> Tensor:
        known = self.mean > 0
        size = torch.where(known, self.mean, torch.ones_like(self.mean))
        ratio = (self.mean.amax() / size).clamp(max=BOUND)
        return self.base * torch.where(known, ratio, torch.ones_like(ratio))

    @torch.no_grad()
    def observe_gradients(self, norms: Tensor) -> None:
        seen = torch.where(torch.isfinite(norms), norms, torch.zeros_like(norms))
        self.mean.copy_(torch.where(seen > 0, self.moved(seen), self.mean))
