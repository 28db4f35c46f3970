"""Z-scored returns times `return_scale`, carried back to reward units wherever rewards are met."""

from __future__ import annotations

import torch
from torch import Tensor

from ppo.functional.popart import preserve_outputs
from ppo.values import SCALES
from ppo.values.scale import OutputLayer, ValueScale


@SCALES.register("running")
class Running(ValueScale):
    """Moving mean and standard deviation; predictions jump with the frame (as in skrl)."""

    def frame(self, mean: Tensor, std: Tensor) -> tuple[Tensor, Tensor]:
        known = torch.where(std > 0, std, torch.ones_like(std))  # before there is a scale
        return mean, known / self.return_scale


@SCALES.register("popart")
class PopArt(Running):
    """Moving statistics with outputs preserved (van Hasselt et al. 2016, arXiv 1602.07714)."""

    preserves_outputs = True

    def correct(
        self,
        layer: OutputLayer,
        changed: Tensor,
        before: tuple[Tensor, Tensor],
        after: tuple[Tensor, Tensor],
    ) -> OutputLayer:
        outputs = layer.bias.numel() // changed.numel()
        wide = [tensor.repeat_interleave(outputs) for tensor in (*before, *after, changed)]
        offset, size, new_offset, new_size, moved = wide
        weight, bias = preserve_outputs(
            layer.weight, layer.bias, offset, size, new_offset, new_size, 1.0 / layer.gain
        )
        return OutputLayer(
            torch.where(moved.unsqueeze(-1), weight, layer.weight),
            torch.where(moved, bias, layer.bias),
            layer.gain,
        )


@SCALES.register("batch")
class Batch(Running):
    """Statistics of the newest batch alone: the documented z-score, made consistent.

    Values are carried back with the statistics of their own batch, so that GAE and bootstrapping
    stay in reward units; noise in the statistics is noise in the targets.
    """

    def memory(self, seen: Tensor) -> Tensor:
        return torch.ones_like(seen)


@SCALES.register("naive_batch_zscore_without_carrying_back")
class NaiveBatch(Batch):
    """The z-score of each batch beside raw rewards: for the experiment that shows its harm.

    Old values stay in network units, so GAE subtracts numbers with standard deviation
    `return_scale` from raw rewards, and the critic is hardly a baseline.
    """

    exact = False
    carries_back = False

    def from_norm(self, values_norm: Tensor) -> Tensor:
        return values_norm
