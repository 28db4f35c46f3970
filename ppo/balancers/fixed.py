"""Weights that a person chose."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ppo.balancers import REGISTRY


@REGISTRY.register("fixed")
class Fixed(nn.Module):
    """`sum_j weight_j * loss_j`; the baseline of every comparison.

    Args:
        names: of the J balanced losses (value and auxiliary ones; never policy or entropy).
        weights: [J] from the configuration.
        num_outputs: [J] outputs that each loss is a mean over.
    """

    def __init__(self, names: list[str], weights: list[float], num_outputs: list[int]) -> None:
        super().__init__()
        self.names = names
        self.register_buffer("base", torch.tensor(weights), persistent=False)

    def forward(self, losses: Tensor) -> tuple[Tensor, Tensor]:
        """Total and the weights [J] in force.

        Args:
            losses: [J], each a mean over its active elements.
        """
        return (self.base * losses).sum(), self.base
