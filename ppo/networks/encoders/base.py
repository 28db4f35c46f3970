"""Interface of every encoder."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn

from ppo.core.layout import Layout
from ppo.networks import packing

Read = Callable[[Tensor], Tensor]


class Encoder(nn.Module):
    """Features [B, F] of normalized numbers [B, D] and of the rows [B, ...] they were read from.

    `forward(numbers, obs)` gives them.

    Args:
        layout: of the rows.
        network: section `network` of the configuration.
        source: generator of the random numbers that layers start from.

    Attributes:
        num_features: F.
        bounded: whether features are in [-1, 1], so that a unit near the bounds is saturated.
        sees_images: whether it reads images as images; it then needs one, and the pixels of an
            image of floats are normalized by statistics of its channels.
    """

    num_features: int
    bounded: bool = False
    sees_images: bool = False

    @staticmethod
    def numbers(layout: Layout) -> tuple[int, Read]:
        """D, and how to read rows as numbers [..., D], which the normalizer then sees."""
        return layout.num_floats + layout.num_pixels, partial(packing.everything, layout=layout)
