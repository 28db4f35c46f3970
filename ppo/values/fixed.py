"""Frames that do not follow the returns: reward units as they are, and their logarithms."""

from __future__ import annotations

import torch
from torch import Tensor

from ppo.functional.bins import symexp, symlog
from ppo.values import SCALES
from ppo.values.scale import ValueScale


class Fixed(ValueScale):
    """A frame that stands still: what predictions mean does not change, rewards set their size."""

    preserves_outputs = True
    exact = False

    def __init__(self, num_components: int, return_scale: float, horizon: float) -> None:
        super().__init__(num_components, return_scale, horizon)
        self.unit = 1.0

    def frame(self, mean: Tensor, std: Tensor) -> tuple[Tensor, Tensor]:
        return torch.zeros_like(mean), torch.ones_like(std)


@SCALES.register("identity")
class Identity(Fixed):
    """`V = n`. Its loss grows with the square of the rewards: the documented explosion."""

    support = None


@SCALES.register("symlog")
class Symlog(Fixed):
    """`n = sign(V) log(1 + |V|)` (Hafner et al. 2023, arXiv 2301.04104).

    Linear below 1 and logarithmic above, so it is not invariant to the scale of rewards, and plain
    regression in it underestimates: pair it with `value_loss: two_hot`.
    """

    affine = False
    support = 20.0

    def from_norm(self, values_norm: Tensor) -> Tensor:
        return symexp(values_norm)

    def to_norm(self, values: Tensor) -> Tensor:
        return symlog(values)
