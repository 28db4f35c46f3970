"""The network of Mnih et al. 2015."""

from __future__ import annotations

import torch
from torch import nn

from ppo.config import NetworkConfig
from ppo.networks.encoders import REGISTRY
from ppo.networks.encoders.convolutional import Convolutional, convolution


@REGISTRY.register("nature_cnn")
class NatureCNN(Convolutional):
    """Three convolutions, 32 of 8x8, 64 of 4x4 and 64 of 3x3, and one layer of 512 units.

    Mnih et al. 2015 (Human-level control through deep reinforcement learning), methods.
    """

    kind = "nature_cnn"
    least_side = 36
    instead = "impala_cnn or mlp"

    def layers(
        self, channels: int, config: NetworkConfig, source: torch.Generator
    ) -> list[nn.Module]:
        return [
            convolution(channels, 32, 8, 4, source),
            nn.ReLU(),
            convolution(32, 64, 4, 2, source),
            nn.ReLU(),
            convolution(64, 64, 3, 1, source),
            nn.ReLU(),
        ]
