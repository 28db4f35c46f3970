"""Normalizations of the mixed advantage, all without absolute epsilons."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ppo.core import parallel
from ppo.functional.policy import normalize_advantages
from ppo.functional.quantiles import quantiles
from ppo.losses.advantages import REGISTRY


class AdvantageScale(nn.Module):
    """Maps the advantages of a batch; state, if any, is saved with the objective.

    Args:
        floor: least standard deviation, in those of the return. Near the optimum, advantages are
            noise, and a floor keeps them from being blown up to unit variance.
    """

    exact = True
    per_minibatch = False

    def __init__(self, floor: float) -> None:
        super().__init__()
        self.floor = floor

    def forward(self, advantages: Tensor, returns: Tensor, weights: Tensor, std: Tensor) -> Tensor:
        """[B] advantages.

        Args:
            advantages, weights: [B]. returns: [B] reward units. std: scalar, of the returns.
        """
        return advantages


@REGISTRY.register("none")
class Unscaled(AdvantageScale):
    """Advantages in reward units: the step size then depends on the reward scale."""

    exact = False


@REGISTRY.register("minibatch")
class PerMinibatch(AdvantageScale):
    """Left to the policy loss, which sees the minibatch (CleanRL, Stable-Baselines3)."""

    per_minibatch = True


@REGISTRY.register("batch")
class PerBatch(AdvantageScale):
    """Mean 0 and standard deviation 1 over the whole batch (rsl_rl, rl_games)."""

    def forward(self, advantages: Tensor, returns: Tensor, weights: Tensor, std: Tensor) -> Tensor:
        return normalize_advantages(advantages, weights, self.floor * std)


@REGISTRY.register("percentile")
class Percentile(AdvantageScale):
    """Divided by a moving range of the returns, from the 5th to the 95th percentile.

    Hafner et al. 2023 (arXiv 2301.04104) with `max(1, S)` replaced by a share of the return's
    standard deviation, so that no reward scale is special. The mean is not removed.
    """

    RATE = 0.01

    spread: Tensor  # [1] float64, moving sum
    weight: Tensor  # [1] float64 of the moving sum

    def __init__(self, floor: float) -> None:
        super().__init__(floor)
        self.register_buffer("spread", torch.zeros(1, dtype=torch.float64))
        self.register_buffer("weight", torch.zeros(1, dtype=torch.float64))

    def forward(self, advantages: Tensor, returns: Tensor, weights: Tensor, std: Tensor) -> Tensor:
        stride = max(1, returns.shape[0] // 16_384)
        ends = quantiles(returns[::stride], (0.05, 0.95))
        # The mean over ranks, or each would divide by its own.
        width = parallel.mean_((ends[1] - ends[0]).double())
        self.spread.lerp_(width, self.RATE)
        self.weight.lerp_(torch.ones_like(self.weight), self.RATE)
        spread = torch.maximum(self.spread / self.weight, self.floor * std.double())
        safe = torch.where(spread > 0, spread, torch.ones_like(spread)).to(advantages.dtype)
        return advantages / safe
