"""Losses in variances of their targets."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ppo.losses.balancers import REGISTRY
from ppo.losses.balancers.base import Balancer


@REGISTRY.register("target_variance")
class TargetVariance(Balancer):
    """`weight_j * L_j / Var[target_j]`: 1 is a head that predicts the mean.

    Statistics are of all targets seen, not of one minibatch. A loss whose targets have no known
    variance (a cross-entropy) keeps its weight.
    """

    variance: Tensor  # [J] mean of those seen, 1 where none was
    count: Tensor  # [J]

    def __init__(
        self, names: list[str], weights: list[float], num_outputs: list[int], **options: float
    ) -> None:
        super().__init__(names, weights, num_outputs)
        self.register_buffer("variance", torch.ones(len(names)))
        self.register_buffer("count", torch.zeros(len(names)))
        self.register_load_state_dict_pre_hook(self._fit_count)

    def weights(self, losses: Tensor) -> Tensor:
        return self.base / self.variance

    @torch.no_grad()
    def observe(self, losses: Tensor, variances: Tensor, progress: float) -> None:
        known = torch.isfinite(variances) & (variances > 0)
        self.count.add_(known)
        moved = self.variance + (variances - self.variance) / self.count.clamp(min=1.0)
        moved = torch.where(self.count > 1, moved, variances)  # 1 + (v - 1) is 0 for a small v
        self.variance.copy_(torch.where(known, moved, self.variance))

    def _fit_count(
        self, _: nn.Module, state: dict[str, Tensor], prefix: str, *unused: object
    ) -> None:
        """Earlier versions counted for all losses together."""
        name = f"{prefix}count"
        if name in state:
            state[name] = state[name].expand(len(self.count)).clone()
