"""How the row of one observation is laid out: what environments write and networks read.

No torch and no Gymnasium here, because both sides import it.

An observation travels as one tensor. Which one depends on what the environment shows:

- numbers alone: float32 [D], followed by the mask of valid actions, where there is one, as 0 and 1;
  numbers that float32 cannot hold have their remainders between these (see ppo/envs/precision.py);
- one image of bytes alone: uint8 of the image's three axes;
- images of bytes beside numbers or masks: bytes [R] that hold these numbers as float32, then the
  images, then the mask. R is a multiple of four, so that a batch of rows can be read as float32.

Images of other types (floats, depth) are numbers among the others; the layout names their place.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any, NamedTuple

Span = tuple[int, int]  # from, to (without)


class Image(NamedTuple):
    """One image inside a row."""

    start: int  # first byte; of an image of floats, its first entry among the numbers
    shape: tuple[int, ...]  # three axes, as the environment gives them; [H, W, 1] of two
    is_bytes: bool = True  # else float32

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
    """Where numbers, images and the mask of an observation lie.

    Entries are counted as `packing.everything` gives them: the numbers, then the pixels of images
    of bytes.
    """

    num_floats: int
    images: tuple[Image, ...] = ()
    num_mask: int = 0  # logits that a mask speaks of; 0: every action is always valid
    keys: tuple[tuple[str, tuple[Span, ...]], ...] = ()  # of a Dict, each with its entries
    whole: Any = None  # the Layout of the rows, where this one is a part of them (see `part`)
    precise: tuple[tuple[str, Span], ...] = ()  # entries of numbers with remainders, in order

    @property
    def byte_images(self) -> tuple[Image, ...]:
        return tuple(image for image in self.images if image.is_bytes)

    @property
    def float_images(self) -> tuple[Image, ...]:
        return tuple(image for image in self.images if not image.is_bytes)

    @property
    def is_plain_image(self) -> bool:
        """Whether the row is one image of bytes."""
        return self.is_bytes and len(self.images) == 1 and not self.num_floats and not self.num_mask

    @property
    def is_bytes(self) -> bool:
        """Whether the row is bytes, not float32."""
        return any(image.is_bytes for image in self.images)

    @property
    def is_packed(self) -> bool:
        return self.is_bytes and not self.is_plain_image

    @property
    def num_stored(self) -> int:
        """Numbers of float32 in a row: `num_floats`, then the remainders of some of them."""
        return self.num_floats + sum(stop - start for _, (start, stop) in self.precise)

    @property
    def mask_start(self) -> int:
        """Index of the mask in a row of numbers or of bytes."""
        if not self.is_bytes:
            return self.num_stored
        return 4 * self.num_stored + self.num_pixels

    @property
    def num_pixels(self) -> int:
        """Entries of all images of bytes."""
        return sum(image.size for image in self.byte_images)

    @property
    def num_entries(self) -> int:
        """Numbers and pixels."""
        return self.num_floats + self.num_pixels

    @property
    def vector_spans(self) -> tuple[Span, ...]:
        """Where the numbers that belong to no image lie among the numbers."""
        found, start = [], 0
        for image in sorted(self.float_images):
            found.append((start, image.start))
            start = image.start + image.size
        found.append((start, self.num_floats))
        return tuple(span for span in found if span[0] < span[1])

    @property
    def num_vector(self) -> int:
        """Numbers that belong to no image."""
        return self.num_floats - sum(image.size for image in self.float_images)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a row."""
        if self.is_plain_image:
            return self.images[0].shape
        used = self.mask_start + self.num_mask
        return (-(-used // 4) * 4,) if self.is_bytes else (used,)

    @property
    def dtype(self) -> str:
        return "uint8" if self.is_bytes else "float32"

    def part(self, names: Collection[str]) -> tuple[tuple[Span, ...], Layout]:
        """The entries of these keys, and the layout of what they hold.

        Its images of bytes lie where they do in the whole row, its images of floats among its own
        numbers. Remainders belong to whole rows alone.
        """
        spans = _merged([span for name, part in self.keys if name in names for span in part])
        images, first = [], self.num_floats
        for image in self.images:
            start = first if image.is_bytes else image.start
            first += image.size if image.is_bytes else 0
            before = _count(spans, start)
            if _count(spans, start + image.size) > before:
                images.append(image if image.is_bytes else image._replace(start=before))
        keys = tuple(
            (name, tuple((_count(spans, start), _count(spans, stop)) for start, stop in part))
            for name, part in self.keys
            if name in names
        )
        count = _count(spans, self.num_floats)
        return spans, Layout(count, tuple(images), self.num_mask, keys, self.whole or self)


def _merged(spans: list[Span]) -> tuple[Span, ...]:
    """In order, those that touch as one."""
    found: list[Span] = []
    for start, stop in sorted(spans):
        if found and found[-1][1] == start:
            start = found.pop()[0]
        found.append((start, stop))
    return tuple(found)


def _count(spans: tuple[Span, ...], limit: int) -> int:
    """How many entries of the spans lie before `limit`."""
    return sum(min(stop, limit) - start for start, stop in spans if start < limit)
