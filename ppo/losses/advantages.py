"""Normalizations of the mixed advantage, all without absolute epsilons."""

from __future__ import annotations

from torch import Tensor, nn

from ppo.functional.policy import normalize_advantages
from ppo.losses import ADVANTAGES


class AdvantageScale(nn.Module):
    """Maps the advantages of a batch; state, if any, is saved with the objective."""

    exact = True
    per_minibatch = False

    def forward(self, advantages: Tensor, weights: Tensor) -> Tensor:
        """[B] advantages of [B]; weights: [B] 1 for samples that count."""
        return advantages

    def are_zero(self, advantages: Tensor, weights: Tensor) -> Tensor:
        """Scalar bool: whether all advantages that `forward` returned are zero."""
        if self.per_minibatch:
            advantages = normalize_advantages(advantages, weights)
        return (advantages == 0).all()


@ADVANTAGES.register("none")
class Unscaled(AdvantageScale):
    """Advantages in reward units: the step size then depends on the reward scale."""

    exact = False


@ADVANTAGES.register("minibatch")
class PerMinibatch(AdvantageScale):
    """Left to the policy loss, which normalizes by minibatch (CleanRL, Stable-Baselines3)."""

    per_minibatch = True


@ADVANTAGES.register("global")
class PerBatchOfAll(AdvantageScale):
    """Over the batch of all processes: shares of N/2 environments are then scaled as one of N."""

    def forward(self, advantages: Tensor, weights: Tensor) -> Tensor:
        return normalize_advantages(advantages, weights, over_ranks=True)


@ADVANTAGES.register("batch")
class PerBatch(AdvantageScale):
    """Mean 0 and standard deviation 1 over the whole batch (rsl_rl, rl_games)."""

    def forward(self, advantages: Tensor, weights: Tensor) -> Tensor:
        return normalize_advantages(advantages, weights)
