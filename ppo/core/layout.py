"""How the row of one observation is laid out: what environments write and networks read.

No torch and no Gymnasium here, because both sides import it.

An observation travels as one tensor. Which one depends on what the environment shows:

- numbers alone: float32 [D], followed by the mask of valid actions, where there is one, as 0 and 1;
- one image alone: uint8 of the image's three axes;
- images beside numbers or masks: bytes [R] that hold the numbers as float32, then the images, then
  the mask. R is a multiple of four, so that a batch of rows can be read as float32.
"""

from __future__ import annotations

import math
from typing import NamedTuple


class Image(NamedTuple):
    """One image inside a row."""

    start: int  # first byte
    shape: tuple[int, ...]  # three axes, as the environment gives them

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def channels_first(self) -> bool:
        return self.shape[0] < self.shape[2]

    @property
    def channels(self) -> int:
        return self.shape[0] if self.channels_first else self.shape[2]

    @property
    def height_and_width(self) -> tuple[int, int]:
        height, width = self.shape[1:] if self.channels_first else self.shape[:2]
        return height, width


class Layout(NamedTuple):
    """Where numbers, images and the mask of an observation lie."""

    num_floats: int
    images: tuple[Image, ...] = ()
    num_mask: int = 0  # logits that a mask speaks of; 0: every action is always valid

    @property
    def is_plain_image(self) -> bool:
        return len(self.images) == 1 and not self.num_floats and not self.num_mask

    @property
    def is_packed(self) -> bool:
        return bool(self.images) and not self.is_plain_image

    @property
    def mask_start(self) -> int:
        """Index of the mask in a row of numbers or of bytes."""
        if not self.images:
            return self.num_floats
        return 4 * self.num_floats + self.num_pixels

    @property
    def num_pixels(self) -> int:
        """Entries of all images."""
        return sum(image.size for image in self.images)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a row."""
        if self.is_plain_image:
            return self.images[0].shape
        used = self.mask_start + self.num_mask
        return (used,) if not self.images else (-(-used // 4) * 4,)

    @property
    def dtype(self) -> str:
        return "uint8" if self.images else "float32"


def packed(num_floats: int, shapes: list[tuple[int, ...]], num_mask: int = 0) -> Layout:
    """The layout of so many numbers and of images of these shapes."""
    images, start = [], 4 * num_floats
    for shape in shapes:
        images.append(Image(start, tuple(shape)))
        start += images[-1].size
    return Layout(num_floats, tuple(images), num_mask)
