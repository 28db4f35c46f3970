"""What convolutional encoders share: one network per image, hidden layers for the numbers beside.

Bytes stay uint8 until here; they are divided by 255 and not normalized further, as in the papers.
Images of other types come normalized by the running statistics of their channels.
"""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor, nn

from ppo.config import NetworkConfig
from ppo.core.errors import UserError
from ppo.core.layout import Image, Layout
from ppo.networks import packing
from ppo.networks.encoders.base import Encoder, Read
from ppo.networks.encoders.mlp import hidden_layers
from ppo.networks.initialization import orthogonal, orthogonal_linear


class Convolutional(Encoder):
    """Features of every image and of the numbers beside them, side by side.

    Raises:
        UserError: there is no image, or it is too small for the layers.
    """

    kind: str
    least_side: int  # pixels
    instead: str  # what to write where images are smaller
    sees_images = True

    def __init__(self, layout: Layout, config: NetworkConfig, source: torch.Generator) -> None:
        super().__init__()
        if not layout.images:
            raise UserError(
                f"network.encoder: {self.kind}: the observations hold no image (a Box of three "
                "axes, or of two with at least 36 pixels on a side; inside a Dict both so large); "
                "write auto or mlp"
            )
        self.layout = layout
        self.columns = nn.ModuleList(
            [
                self._column(image, config, source)
                for image in (*layout.byte_images, *layout.float_images)
            ]
        )
        self.beside = nn.Sequential(
            *(hidden_layers(layout.num_vector, config, source) if layout.num_vector else [])
        )
        self.num_features = config.image_features * len(layout.images)
        self.num_features += config.hidden_sizes[-1] if layout.num_vector else 0

    def _column(
        self, image: Image, config: NetworkConfig, source: torch.Generator
    ) -> nn.Sequential:
        height, width = image.height_and_width
        if min(height, width) < self.least_side:
            raise UserError(
                f"network.encoder: {self.kind} needs images of at least {self.least_side} pixels "
                f"on a side, these have {height} x {width}; write {self.instead}"
            )
        layers = self.layers(image.channels, config, source)
        with torch.no_grad():
            size = nn.Sequential(*layers)(torch.zeros(1, image.channels, height, width)).numel()
        last = orthogonal_linear(size, config.image_features, math.sqrt(2.0), source)
        return nn.Sequential(*layers, nn.Flatten(), last, nn.ReLU())

    def layers(
        self, channels: int, config: NetworkConfig, source: torch.Generator
    ) -> list[nn.Module]:
        """Convolutions on [B, channels, H, W] in [0, 1]."""
        raise NotImplementedError

    @staticmethod
    def numbers(layout: Layout) -> tuple[int, Read]:
        return layout.num_floats, partial(packing.floats, layout=layout)

    def forward(self, numbers: Tensor, obs: Tensor) -> Tensor:
        pixels = [rows.float() * (1.0 / 255.0) for rows in packing.images(obs, self.layout)]
        pixels += packing.float_images(numbers, self.layout)
        images = [*self.layout.byte_images, *self.layout.float_images]
        found = []
        for image, rows, column in zip(images, pixels, self.columns, strict=True):
            found.append(column(rows if image.channels_first else rows.movedim(-1, -3)))
        if self.layout.num_vector:
            found.append(self.beside(packing.vectors(numbers, self.layout)))
        return torch.cat(found, -1) if len(found) > 1 else found[0]


def convolution(
    inputs: int,
    outputs: int,
    size: int,
    stride: int,
    source: torch.Generator,
    padding: int = 0,
    gain: float = math.sqrt(2.0),
) -> nn.Conv2d:
    """A convolution with orthogonal weights."""
    return orthogonal(nn.Conv2d(inputs, outputs, size, stride, padding), gain, source)
