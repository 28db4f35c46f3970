"""Moving the critic's frame, not its predictions (van Hasselt et al. 2016, arXiv 1602.07714)."""

from __future__ import annotations

import torch
from torch import Tensor

FLOOR = 1e-3  # of a standard deviation, as a share of the numbers' size


def preserve_outputs(
    weight: Tensor,
    bias: Tensor,
    mean: Tensor,
    std: Tensor,
    new_mean: Tensor,
    new_std: Tensor,
    scale: float,
) -> tuple[Tensor, Tensor]:
    """Output layer with unchanged de-normalized predictions (eq. 9 of the paper).

    With network units `n = scale * (V - mean) / std`:
    `W' = (std / std') W` and `b' = (std * b + scale * (mean - mean')) / std'`.
    Everything is computed in float64 and cast once.

    Args:
        weight: [K, F]. bias: [K]. mean, std, new_mean, new_std: [K] float64.
        scale: standard deviation given to standardized returns.
    """
    ratio = std / new_std
    shift = scale * (mean - new_mean) / new_std
    new_weight = weight.double() * ratio.unsqueeze(-1)
    new_bias = bias.double() * ratio + shift
    return new_weight.to(weight.dtype), new_bias.to(bias.dtype)


def relative_floor(std: Tensor, mean: Tensor, largest: Tensor) -> Tensor:
    """Standard deviation with a floor of a share of the numbers' size: relative, never absolute.

    Returns of a solved task differ by less than a thousandth of their size and count as equal: a
    frame that shrank further would blow the network's own noise up to a loss.
    """
    return torch.maximum(std, FLOOR * torch.maximum(mean.abs(), largest))
