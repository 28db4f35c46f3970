"""No standardization: the critic works in reward units."""

from __future__ import annotations

import torch
from torch import Tensor

from ppo.values.scales import REGISTRY
from ppo.values.scales.base import ValueScale


@REGISTRY.register("identity")
class Identity(ValueScale):
    """`V = n`. Its loss grows with the square of the rewards: the documented explosion."""

    preserves_outputs = True
    exact = False
    support = None

    def __init__(self, num_components: int, return_scale: float, horizon: float) -> None:
        super().__init__(num_components, return_scale, horizon)
        self.unit = 1.0

    def frame(self, mean: Tensor, std: Tensor) -> tuple[Tensor, Tensor]:
        return torch.zeros_like(mean), torch.ones_like(std)
