"""One output per component, Huber loss in network units."""

from __future__ import annotations

from torch import Tensor

from ppo.functional.value import huber_error
from ppo.values.heads import REGISTRY
from ppo.values.heads.base import ValueHead


@REGISTRY.register("huber")
class HuberHead(ValueHead):
    """Squared up to `huber_delta` standard deviations of the target, linear beyond (Huber 1964).

    The linear part pulls towards the median, which is wrong for skewed returns (Andrychowicz et
    al. 2021, figure 45 find it worse than the squared error).
    """

    def __init__(self, unit: float, loss_unit: float, huber_delta: float = 1.0, **_: float) -> None:
        super().__init__(unit, loss_unit)
        self.delta = huber_delta * unit

    def loss(self, output: Tensor, values_norm: Tensor, targets_norm: Tensor) -> Tensor:
        return huber_error(values_norm, targets_norm, self.delta) / self.loss_unit**2
