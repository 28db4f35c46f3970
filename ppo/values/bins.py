"""Critics that predict a distribution over bins and learn it by cross-entropy."""

from __future__ import annotations

import torch
from torch import Tensor

from ppo.functional.bins import (
    cross_entropy,
    expectation,
    hl_gauss_targets,
    symexp,
    symlog,
    two_hot_targets,
)
from ppo.values import HEADS
from ppo.values.head import Units, ValueHead

BINS = 101
SMOOTHING = 0.75  # standard deviation of HL-Gauss in bins, the paper's choice


class BinsHead(ValueHead):
    """Evenly spaced bins over `[-support, support]` network units.

    The head is zero at first, so every bin is equally likely and the value is 0. Moving the frame
    cannot preserve its outputs, because bins do not move with it. A value clip has no meaning.
    """

    clippable = False
    linear = False

    def __init__(self, units: Units) -> None:
        super().__init__(units)
        self.num_outputs = BINS
        self.logarithmic = units.logarithmic
        self.width = 2.0 * units.support / self.num_outputs
        edges = (torch.arange(self.num_outputs + 1) - self.num_outputs / 2) * self.width
        self.edges: Tensor  # [O + 1] network units
        self.centers: Tensor  # [O]
        self.register_buffer("edges", edges, persistent=False)
        self.register_buffer("centers", (edges[1:] + edges[:-1]) / 2, persistent=False)

    def decode(self, output: Tensor) -> Tensor:
        if self.logarithmic:
            # The mean belongs to reward units; the mean of logarithms would lie below it.
            return symlog(expectation(output, symexp(self.centers)))
        return expectation(output, self.centers)

    def distribution(self, targets_norm: Tensor) -> Tensor:
        """Target probabilities [B, K, O]."""
        raise NotImplementedError

    def loss(self, output: Tensor, values_norm: Tensor, targets_norm: Tensor) -> Tensor:
        return cross_entropy(output, self.distribution(targets_norm))


@HEADS.register("hl_gauss")
class HLGaussHead(BinsHead):
    """Histogram loss with Gaussian targets (Imani and White 2018; Farebrother et al. 2024)."""

    def distribution(self, targets_norm: Tensor) -> Tensor:
        return hl_gauss_targets(targets_norm, self.edges, SMOOTHING * self.width)


@HEADS.register("two_hot")
class TwoHotHead(BinsHead):
    """Two-hot targets (Hafner et al. 2023, DreamerV3); meant for the symlog scale."""

    def distribution(self, targets_norm: Tensor) -> Tensor:
        return two_hot_targets(targets_norm, self.centers)
