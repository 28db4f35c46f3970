"""Conversion between entries of Gymnasium spaces and rows of arrays.

The place of each entry in the row is computed once, so that an observation costs one assignment.
The order is that of `gymnasium.spaces.utils.flatten` with the keys of a Dict sorted, so that it
does not depend on how the space was built.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import accumulate
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from ppo.core.blame import brief
from ppo.core.errors import UserError
from ppo.core.layout import Layout
from ppo.envs.entries import (
    Leaf,
    is_image,
    is_large_image,
    layout_of_leaves,
    num_categories,
    refuse_bounds,
    refuse_keys,
)
from ppo.envs.precision import halves, precise_leaves


def is_text(space: gym.Space) -> bool:
    """Whether the space holds text, which a network of numbers cannot read."""
    return isinstance(space, spaces.Text) or space.dtype == np.dtype(str)


def without_text(space: gym.Space) -> gym.Space:
    """The space without the text entries of its Dicts."""
    if isinstance(space, spaces.Dict):
        parts = {k: without_text(v) for k, v in space.spaces.items() if not is_text(v)}
        same = all(parts.get(key) is part for key, part in space.spaces.items())
        return space if same else spaces.Dict(parts)
    return space


def layout_of(space: gym.Space, num_mask: int = 0, precise: Collection[str] = ()) -> Layout:
    """The layout of this space's rows."""
    return ObservationEncoder(space, "the environment", num_mask, precise=precise).layout


class ObservationEncoder:
    """Observations of a space as rows of one array, in the order of `layout`.

    Box [..] is flattened to float32 [D], but for uint8 images of three axes, which are kept. Images
    of other types are flattened too; the layout holds where they lie.
    Discrete and MultiDiscrete become one-hot vectors. Dict and Tuple are the concatenation of
    their entries; entries that hold text are left out and named in `left_out`.

    Args:
        num_mask: M, entries of the mask of valid actions that follows an observation.
        keys: of a Dict, those that are written; None: all.
        precise: names of entries whose remainders are kept too (see ppo/envs/precision.py).

    Raises:
        UserError: a space of another kind, or no such entry.
    """

    def __init__(
        self,
        space: gym.Space,
        env_id: str,
        num_mask: int = 0,
        keys: Collection[str] | None = None,
        precise: Collection[str] = (),
    ) -> None:
        self.space = space
        self.left_out: list[str] = []
        self._env_id = env_id
        self.is_box = isinstance(space, spaces.Box) and not precise
        self.leaves: list[Leaf] = []
        self._images: list[Leaf] = []
        size = self._collect(space, (), 0)
        images = self.image_leaves
        leaves = [] if is_image(space) else self.leaves
        halved = precise_leaves(leaves, precise, env_id) if precise else []
        self.layout = layout_of_leaves(space, leaves, images, num_mask, halved)
        places = accumulate((leaf.size for leaf in halved), initial=self.layout.num_floats)

        def is_written(leaf: Leaf) -> bool:
            return keys is None or str(leaf.path[0]) in keys

        self.leaves = [*filter(is_written, self.leaves)]
        self.entries = [*filter(is_written, (*leaves, *images))]  # as `packing.everything` has them
        # Each with where its remainders begin; each with its place, but for an image alone.
        self._remainders = [
            pair for pair in zip(halved, places, strict=False) if is_written(pair[0])
        ]
        pixels = zip(self._images, self.layout.byte_images, strict=False)
        self._pixels = [pair for pair in pixels if is_written(pair[0])]
        self.is_image = self.layout.is_plain_image
        self.shape: tuple[int, ...] = self.layout.shape
        self.dtype = np.dtype(self.layout.dtype)
        self._box_shape = space.shape
        self._same_shape = self.shape == space.shape
        self._is_plain = not (self.layout.num_mask or halved)  # all of a row is numbers
        self._seen_dtypes: set[np.dtype] = set()  # checked once, then passed
        if not size and not images:
            raise UserError(f"env.id: {env_id}: the observation space {space} has no entries")

    @property
    def image_leaves(self) -> list[Leaf]:
        """The images, in the order of `layout`."""
        return [Leaf((), 0, 0, self.space)] if is_image(self.space) else self._images

    def floats(self, rows: np.ndarray) -> np.ndarray | None:
        """[..., F] the numbers in rows, sharing their memory; None: these rows have none."""
        if not self.layout.is_bytes:
            return rows if self._is_plain else rows[..., : self.layout.num_floats]
        if not self.layout.num_floats:
            return None
        return rows[..., : 4 * self.layout.num_floats].view(np.float32)

    def _stored(self, rows: np.ndarray) -> np.ndarray:
        """[..., F] the numbers in rows and their remainders, sharing their memory."""
        size = self.layout.num_stored
        return rows[..., : 4 * size].view(np.float32) if self.layout.is_bytes else rows[..., :size]

    def write_mask(self, mask: Any, row: np.ndarray) -> None:
        """Writes which actions are valid into a row.

        Args:
            mask: [M], such as `masks.flat` gives.
        """
        size, start = self.layout.num_mask, self.layout.mask_start
        row[start : start + size] = mask

    def _collect(self, space: gym.Space, path: tuple[Any, ...], start: int) -> int:
        if isinstance(space, spaces.Dict):
            refuse_keys(space)
            for key in sorted(space.spaces, key=str):
                start = self._collect(space.spaces[key], (*path, key), start)
            return start
        if isinstance(space, spaces.Tuple):
            for index, part in enumerate(space.spaces):
                start = self._collect(part, (*path, index), start)
            return start
        if path and is_text(space):
            self.left_out.append(".".join(map(str, path)))
            return start
        if path and is_large_image(space):
            self._images.append(Leaf(path, 0, 0, space))
            return start
        size = self._size(space)
        self.leaves.append(Leaf(path, start, start + size, space))
        return start + size

    def _size(self, space: gym.Space) -> int:
        if isinstance(space, spaces.Box | spaces.MultiBinary):
            refuse_bounds(space, f"env.id: {self._env_id}: the observation space")
            return int(np.prod(space.shape))
        if isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
            where = f"env.id: {self._env_id}: the observation"
            return num_categories(space, where, "give a number as a Box")
        raise UserError(
            f"env.id: {self._env_id}: an observation space of {type(space).__name__} cannot be "
            "learned from (supported: Box, Discrete, MultiDiscrete, MultiBinary, and Dict and "
            "Tuple of these); wrap the environment in gymnasium.wrappers.TransformObservation "
            "that turns it into a Box of fixed shape"
        )

    def encode(self, observation: Any, mask: Any = None) -> np.ndarray:
        """One observation as a new array [*shape]; without a mask, every action is valid."""
        row = np.zeros(self.shape, self.dtype)
        self.write(observation, row)
        if self.layout.num_mask:
            self.write_mask(np.ones(self.layout.num_mask) if mask is None else mask, row)
        return row

    def write(self, observation: Any, row: np.ndarray) -> None:
        """Writes one observation into a row [*shape].

        Raises:
            ValueError: the observation does not fit its space; with declared and returned values.
        """
        if self.is_box:
            if not (
                type(observation) is np.ndarray
                and observation.shape == self._box_shape
                and observation.dtype in self._seen_dtypes
            ):
                observation = _checked(observation, self.space, ())
                if not self.is_image or observation.dtype == np.uint8:
                    self._seen_dtypes.add(observation.dtype)
            if self._same_shape:
                row[...] = observation
            else:
                row[: observation.size] = observation.reshape(-1)
            return
        numbers = self.floats(row)
        for path, start, stop, space in self.leaves:
            assert numbers is not None
            _write_leaf(
                space, _checked(entry_at(observation, path), space, path), numbers[start:stop]
            )
        for leaf, place in self._remainders:
            value = np.asarray(as_array(entry_at(observation, leaf.path)))
            high, low = halves(value.reshape(-1))
            stored = self._stored(row)
            stored[leaf.start : leaf.stop], stored[place : place + leaf.size] = high, low
        for leaf, image in self._pixels:
            value = _checked(entry_at(observation, leaf.path), leaf.space, leaf.path)
            flat = row.reshape(-1)  # a view; an image alone is kept in its own shape
            flat[image.start : image.start + image.size] = value.reshape(-1)

    def parts(self, observation: Any) -> list[Any]:
        """Of each leaf what an observation holds, as an array."""
        return [np.asarray(as_array(entry_at(observation, leaf.path))) for leaf in self.leaves]

    def rows_of(self, numbers: np.ndarray) -> np.ndarray:
        """[B, *shape] rows of [B, F] numbers, where there are neither masks nor images of bytes."""
        rows = np.zeros((len(numbers), self.layout.num_stored), np.float32)
        rows[:, : self.layout.num_floats] = numbers
        for leaf, place in self._remainders:
            high, low = halves(numbers[:, leaf.start : leaf.stop])
            rows[:, leaf.start : leaf.stop], rows[:, place : place + leaf.size] = high, low
        return rows


def entry_at(observation: Any, path: tuple[Any, ...]) -> Any:
    """The entry of a nested observation that `path` leads to."""
    try:
        for key in path:
            observation = observation[key]
    except (KeyError, IndexError, TypeError):
        name = ".".join(map(str, path))
        raise ValueError(f"entry {name!r} is missing from the observation") from None
    return observation


def _write_leaf(space: gym.Space, value: np.ndarray, part: np.ndarray) -> None:
    if isinstance(space, spaces.Discrete):
        part[:] = 0
        part[int(value) - int(space.start)] = 1
    elif isinstance(space, spaces.MultiDiscrete):
        sizes = space.nvec.reshape(-1)
        offsets = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        part[:] = 0
        part[offsets + (value - space.start).reshape(-1)] = 1
    else:
        part[:] = value.reshape(-1)


def is_tensor(value: Any) -> bool:
    """Whether it is a tensor of torch, which this module does not import."""
    return type(value).__module__.partition(".")[0] == "torch" and hasattr(value, "detach")


def as_array(value: Any) -> Any:
    """A tensor as an array, from whatever device and without its gradient; others as they are."""
    if not is_tensor(value):
        return value
    value = value.detach().cpu()
    return (value.float() if str(value.dtype) == "torch.bfloat16" else value).numpy()


def _brief(space: gym.Space) -> str:
    """A space in words, without bounds of its own for each entry."""
    text = str(space)
    if isinstance(space, spaces.Box) and len(text) > 80:
        text = f"Box(low, high, {space.shape}, {space.dtype})"
    return text


def _checked(value: Any, space: gym.Space, path: tuple[Any, ...]) -> np.ndarray:
    """The value as a numeric array of the space's shape, inside it where it names a category."""
    where = f"entry {'.'.join(map(str, path))!r} of the observation" if path else "the observation"
    try:
        array = np.asarray(as_array(value))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{where} is not an array: {error}") from None
    if array.dtype == object:  # None, a dict, a list of arrays
        raise ValueError(f"{where} is declared {_brief(space)}, but is {brief(value, longest=120)}")
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{where} is declared {_brief(space)}, but has dtype {array.dtype}")
    if array.dtype.kind == "f" and space.dtype == np.uint8:
        raise ValueError(f"{where} is declared {_brief(space)}, but has dtype {array.dtype}")
    if array.shape != space.shape:
        raise ValueError(f"{where} is declared {_brief(space)}, but has shape {array.shape}")
    if space.dtype == np.uint8 and array.dtype not in (np.uint8, np.bool_):
        outside = (array < 0) | (array > 255)
        if outside.any():
            raise ValueError(f"{where} is declared {space}, but holds {array[outside].flat[0]}")
    if isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
        count = space.n if isinstance(space, spaces.Discrete) else space.nvec
        if (
            array.dtype.kind == "f"
            or (array < space.start).any()
            or (array >= space.start + count).any()
        ):
            raise ValueError(f"{where} is declared {space}, but is {array}")
    return array
