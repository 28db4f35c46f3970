"""Interface of every value head, and those with one output per component."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from ppo.functional.value import huber_error, squared_error
from ppo.values import HEADS

DELTA = 1.0  # standard deviations of the target at which the Huber loss turns linear


class Units(NamedTuple):
    """What a head needs of the value scale beside it; all in network units."""

    unit: float  # standard deviation given to the targets; 1 where returns are not standardized
    loss_unit: float  # the length in which errors are measured
    support: float = 8.0  # the range of the targets, for bins
    logarithmic: bool = False  # whether network units are logarithms of reward units


class ValueHead(nn.Module):
    """Decodes the critic's raw output and measures its error.

    Args:
        units: with `loss_unit = unit` the loss is in variances of the target, and
            `ppo.return_scale` does not weigh it.

    A linear head gives `loss_unit` network units per unit of the output layer. Otherwise a layer
    that Adam moves by a learning rate a step would need `return_scale` times as many steps to
    cross a standard deviation of the returns.
    """

    num_outputs: int = 1  # O, outputs per reward component
    clippable: bool = True  # whether a value clip has a meaning for this head
    linear: bool = True  # whether the decoded value is linear in the output layer
    exact: bool = True  # whether scaling rewards by 2^k changes no bit, given an exact value scale

    def __init__(self, units: Units) -> None:
        super().__init__()
        self.unit, self.loss_unit = units.unit, units.loss_unit
        self.gain = units.loss_unit if self.linear else 1.0

    def decode(self, output: Tensor) -> Tensor:
        """Values in network units [B, K] of raw outputs [B, K, O]."""
        return output.squeeze(-1) * self.gain

    def loss(self, output: Tensor, values_norm: Tensor, targets_norm: Tensor) -> Tensor:
        """Per-sample loss [B, K]; `values_norm` may be clipped where the head is clippable."""
        raise NotImplementedError


@HEADS.register("squared")
class SquaredHead(ValueHead):
    """`((v - target) / loss_unit)^2`, without a half."""

    def loss(self, output: Tensor, values_norm: Tensor, targets_norm: Tensor) -> Tensor:
        return squared_error(values_norm, targets_norm) / self.loss_unit**2


@HEADS.register("huber")
class HuberHead(ValueHead):
    """Squared error up to one standard deviation of the target, linear beyond (Huber 1964).

    The linear part pulls towards the median, which is wrong for skewed returns (Andrychowicz et
    al. 2021, figure 45 find it worse than the squared error).
    """

    def __init__(self, units: Units) -> None:
        super().__init__(units)
        self.delta = DELTA * units.unit

    def loss(self, output: Tensor, values_norm: Tensor, targets_norm: Tensor) -> Tensor:
        return huber_error(values_norm, targets_norm, self.delta) / self.loss_unit**2
