"""Which entries of a Gymnasium space are images, and how a row of all entries is laid out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from ppo.core.errors import UserError
from ppo.core.layout import Image, Layout, Span

# Sides from which on an entry beside others is an image for a convolutional network.
MIN_IMAGE_SIDE = 36
MOST_CATEGORIES = 2**24  # a row of them takes 64 MB, a layer of 64 units that reads them 4 GB


class Leaf(NamedTuple):
    """One array-like entry of a space and where it lies among numbers or, an image, in bytes."""

    path: tuple[Any, ...]  # keys from the outermost space
    start: int
    stop: int
    space: gym.Space

    @property
    def size(self) -> int:
        """Its entries, among numbers or pixels."""
        return self.stop - self.start or int(np.prod(self.space.shape or ()))


def is_image(space: gym.Space) -> bool:
    """A uint8 Box of three axes."""
    return isinstance(space, spaces.Box) and space.dtype == np.uint8 and len(space.shape) == 3


def is_large_image(space: gym.Space) -> bool:
    """Whether an image is large enough for a convolutional network."""
    shape = tuple(space.shape or ())
    return is_image(space) and min(Image(0, shape).height_and_width) >= MIN_IMAGE_SIDE


def image_of_floats(space: gym.Space, start: int, inside: bool) -> Image | None:
    """The image that a Box is which is not kept as bytes; None: it is none.

    Args:
        start: of its entries among the numbers. inside: of a Dict or a Tuple.
    """
    shape = tuple(space.shape or ())
    if (
        not isinstance(space, spaces.Box)
        or space.dtype.kind not in "fiub"
        or len(shape) not in (2, 3)
    ):
        return None
    if not inside and is_image(space):
        return None
    image = Image(start, (*shape, 1) if len(shape) == 2 else shape, is_bytes=False)
    is_large = min(image.height_and_width) >= MIN_IMAGE_SIDE
    return image if is_large or (len(shape) == 3 and not inside) else None


def refuse_keys(space: spaces.Dict) -> None:
    """
    Raises:
        UserError: a key is neither a word nor a number, which a run folder cannot hold.
    """
    for key in space.spaces:
        if not isinstance(key, str | int | np.integer):
            raise UserError(f"env.id: the key {key!r} of {space} is neither a word nor a number")


def refuse_bounds(space: gym.Space, what: str) -> None:
    """
    Raises:
        UserError: nothing lies between the bounds of a Box: one was moved, or is NaN.
    """
    if isinstance(space, spaces.Box) and not (space.low <= space.high).all():
        entry = int(np.argmin((space.low <= space.high).reshape(-1)))
        low, high = (side.reshape(-1)[entry] for side in (space.low, space.high))
        raise UserError(f"{what}: entry {entry} has the bounds {low} to {high}, which hold nothing")


def choices(space: gym.Space) -> tuple[list[int], list[int]]:
    """Number of values of each choice, and its first one; none where these are no choices."""
    if isinstance(space, spaces.Discrete):
        return [int(space.n)], [int(space.start)]
    if isinstance(space, spaces.MultiDiscrete):
        return space.nvec.reshape(-1).tolist(), np.asarray(space.start).reshape(-1).tolist()
    return [], []


def num_categories(space: spaces.Discrete | spaces.MultiDiscrete, what: str, instead: str) -> int:
    """The values of all choices together, each of which takes an entry.

    Raises:
        UserError: no network has so many inputs or outputs.
    """
    count = sum(choices(space)[0])
    if count > MOST_CATEGORIES:
        raise UserError(
            f"{what}: {space} has {count:,} values, each of which would take an entry; {instead}"
        )
    return count


def name_of(leaf: Leaf) -> str:
    """The keys to it, such as `outer.inner`."""
    return ".".join(map(str, leaf.path)) or "observations"


def layout_of_leaves(
    space: gym.Space,
    leaves: Sequence[Leaf],
    images: Sequence[Leaf],
    num_mask: int,
    precise: Sequence[Leaf],
) -> Layout:
    """The layout of a row of this space.

    Args:
        leaves: entries of numbers. images: those that are kept as bytes. num_mask: M.
        precise: of the leaves those whose remainders are kept too.
    """
    size = leaves[-1].stop if leaves else 0
    halved = tuple((name_of(leaf), (leaf.start, leaf.stop)) for leaf in precise)
    numbers = Layout(size, num_mask=num_mask, precise=halved)
    entries = [(leaf, (leaf.start, leaf.stop)) for leaf in leaves]
    found, pixels = [], 0
    for leaf in images:
        found.append(Image(4 * numbers.num_stored + pixels, tuple(leaf.space.shape or ())))
        entries.append((leaf, (size + pixels, size + pixels + leaf.size)))
        pixels += leaf.size
    keys: dict[str, list[Span]] = {}
    for leaf, span in entries if isinstance(space, spaces.Dict) else []:
        keys.setdefault(str(leaf.path[0]), []).append(span)
    of_floats = [image_of_floats(leaf.space, leaf.start, bool(leaf.path)) for leaf in leaves]
    return numbers._replace(
        images=(*found, *(image for image in of_floats if image is not None)),
        keys=tuple((key, tuple(keys[key])) for key in sorted(keys)),
    )
