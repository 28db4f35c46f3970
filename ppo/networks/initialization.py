"""How layers start: orthogonal weights and zero biases (Andrychowicz et al. 2021, section 3.2)."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

L = TypeVar("L", bound=nn.Linear | nn.Conv2d)


def orthogonal(layer: L, gain: float, source: torch.Generator) -> L:
    """The layer with orthogonal weights of this gain and zero bias."""
    nn.init.orthogonal_(layer.weight, gain, generator=source)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer


def orthogonal_linear(inputs: int, outputs: int, gain: float, source: torch.Generator) -> nn.Linear:
    """A linear layer that starts so."""
    return orthogonal(nn.Linear(inputs, outputs), gain, source)
