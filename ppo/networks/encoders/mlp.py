"""Fully connected layers; images are read entry by entry."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ppo.config import NetworkConfig
from ppo.core.layout import Layout
from ppo.functional.tanh import LogisticTanh, RationalTanh
from ppo.networks.encoders import REGISTRY
from ppo.networks.encoders.base import Encoder
from ppo.networks.initialization import orthogonal_linear

MANY = 2048  # numbers from which one cheaper operation repays three further ones


class Tanh(nn.Tanh):
    """The hyperbolic tangent; on a CPU an approximation of it, within 4e-7.

    The library's tanh takes longer there than the matrix products of a 64 wide network. Compiled,
    a rational function costs a quarter of it; else the logistic function a third.
    """

    def forward(self, input: Tensor) -> Tensor:
        if input.device.type != "cpu" or torch.compiler.is_exporting():
            return input.tanh()
        if torch.compiler.is_dynamo_compiling():
            return RationalTanh.apply(input)
        return LogisticTanh.apply(input) if input.numel() >= MANY else input.tanh()


ACTIVATIONS = {"tanh": Tanh, "relu": nn.ReLU, "elu": nn.ELU, "silu": nn.SiLU, "gelu": nn.GELU}


def hidden_layers(inputs: int, config: NetworkConfig, source: torch.Generator) -> list[nn.Module]:
    """Hidden layers with orthogonal initialization of gain sqrt(2)."""
    layers: list[nn.Module] = []
    for width in config.hidden_sizes:
        layers.append(orthogonal_linear(inputs, width, math.sqrt(2.0), source))
        if config.layer_norm:
            layers.append(nn.LayerNorm(width))
        layers.append(ACTIVATIONS[config.activation]())
        inputs = width
    return layers


@REGISTRY.register("mlp")
class MLP(nn.Sequential, Encoder):
    """`network.hidden_sizes` layers on a whole row."""

    def __init__(self, layout: Layout, config: NetworkConfig, source: torch.Generator) -> None:
        super().__init__(*hidden_layers(self.numbers(layout)[0], config, source))
        self.num_features = config.hidden_sizes[-1]
        self.bounded = config.activation == "tanh"

    def forward(self, numbers: Tensor, obs: Tensor | None = None) -> Tensor:
        return super().forward(numbers)
