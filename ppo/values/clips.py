"""Widths of the interval to which a clip holds a value in one batch."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ppo.values import CLIPS


class ValueClip(nn.Module):
    """Width of the interval around the old value, in network units.

    Args:
        epsilon: `ppo.value_clip_epsilon`.
        floor: `ppo.value_clip_floor`, used by the relative clip.
    """

    active = True
    exact = True  # whether scaling rewards by 2^k changes no bit, given an exact value scale

    def __init__(self, epsilon: float, floor: float) -> None:
        super().__init__()
        self.epsilon, self.floor = epsilon, floor

    def width(self, old_values: Tensor, std: Tensor, size: Tensor) -> Tensor:
        """[B, K] network units.

        Args:
            old_values: [B, K] reward units.
            std: [K] standard deviation of the returns, reward units.
            size: [K] reward units per network unit.
        """
        raise NotImplementedError


@CLIPS.register("none")
class NoClip(ValueClip):
    """Values move freely."""

    active = False

    def width(self, old_values: Tensor, std: Tensor, size: Tensor) -> Tensor:
        return torch.full_like(old_values, torch.inf)


@CLIPS.register("absolute")
class AbsoluteClip(ValueClip):
    """A fixed number of the critic's own units (openai/baselines `ppo2`).

    Without return standardization these are reward units, and a width of 0.2 against returns of
    1000 keeps the critic from following.
    """

    def width(self, old_values: Tensor, std: Tensor, size: Tensor) -> Tensor:
        return torch.full_like(old_values, self.epsilon)


@CLIPS.register("relative")
class RelativeClip(ValueClip):
    """A share of the old value: `v0 + clip((v - v0) / |v0|, -e, e) * |v0|`.

    Near zero the literal formula allows no movement at all, so `|v0|` is floored at `floor`
    standard deviations of the return; 0 is the literal formula.
    """

    def width(self, old_values: Tensor, std: Tensor, size: Tensor) -> Tensor:
        reach = torch.maximum(old_values.abs(), self.floor * std.to(old_values.dtype))
        return self.epsilon * reach / size


@CLIPS.register("sigma")
class SigmaClip(ValueClip):
    """A multiple of the return's standard deviation: blind to scale and offset of rewards."""

    def width(self, old_values: Tensor, std: Tensor, size: Tensor) -> Tensor:
        return (self.epsilon * std.to(old_values.dtype) / size).expand_as(old_values)
