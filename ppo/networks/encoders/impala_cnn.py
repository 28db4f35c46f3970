"""The residual network of Espeholt et al. 2018."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ppo.config import NetworkConfig
from ppo.networks.encoders import REGISTRY
from ppo.networks.encoders.convolutional import Convolutional, convolution

CHANNELS = (16, 32, 32)


class Residual(nn.Module):
    """`x + conv(relu(conv(relu(x))))`."""

    def __init__(self, channels: int, source: torch.Generator) -> None:
        super().__init__()
        self.first = convolution(channels, channels, 3, 1, source, padding=1)
        self.second = convolution(channels, channels, 3, 1, source, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.relu(self.first(F.relu(x))))


@REGISTRY.register("impala_cnn")
class ImpalaCNN(Convolutional):
    """Three stages of convolution, pooling and two residual blocks.

    Espeholt et al. 2018 (arXiv 1802.01561), figure 3, the large network without its LSTM; the last
    layer has `network.image_features` units, there 256.
    """

    kind = "impala_cnn"
    least_side = 5
    instead = "mlp"

    def layers(
        self, channels: int, config: NetworkConfig, source: torch.Generator
    ) -> list[nn.Module]:
        found: list[nn.Module] = []
        for width in CHANNELS:
            found += [
                convolution(channels, width, 3, 1, source, padding=1, gain=1.0),
                nn.MaxPool2d(3, 2, 1),
                Residual(width, source),
                Residual(width, source),
            ]
            channels = width
        return [*found, nn.ReLU()]
