"""One output per component, squared error."""

from __future__ import annotations

from torch import Tensor

from ppo.functional.value import squared_error
from ppo.values.heads import REGISTRY
from ppo.values.heads.base import ValueHead


@REGISTRY.register("squared")
class SquaredHead(ValueHead):
    """`((v - target) / loss_unit)^2`, without a half."""

    def loss(self, output: Tensor, values_norm: Tensor, targets_norm: Tensor) -> Tensor:
        return squared_error(values_norm, targets_norm) / self.loss_unit**2
