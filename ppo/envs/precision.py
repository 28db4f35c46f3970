"""Entries of observations that float32 cannot hold: which they are, and their two halves.

A time stamp of 1.7e9 seconds moves by 128 in float32, and a count beyond 2^24 loses whole numbers.
Such a number x travels as two: float32(x) where it would stand anyway, and the remainder
x - float32(x) behind all numbers. Their sum has 48 bits of x. The normalizer adds them in float64,
subtracts the mean and only then rounds, so that what varies reaches the network.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from ppo.core.errors import UserError
from ppo.core.layout import Layout
from ppo.envs.entries import Leaf, image_of_floats, name_of

LARGEST = 2.0**24  # up to which float32 holds every whole number
UNBOUNDED = float(np.finfo(np.float32).max)  # a bound from here on stands for none
UNREADABLE = (TypeError, ValueError, NotImplementedError)  # no numbers, or tensors without any


def precise_leaves(leaves: Iterable[Leaf], names: Collection[str], env_id: str) -> list[Leaf]:
    """The leaves of these names.

    Raises:
        UserError: there is none of that name whose numbers float32 may round.
    """
    known = {name_of(leaf): leaf for leaf in leaves if _can_be(leaf)}
    for name in names:
        if name not in known:
            raise UserError(
                f"env.double_precision: {name!r} is no entry of float64 or of integers of 32 or 64 "
                f"bits in the observations of {env_id}; allowed: {', '.join(known) or 'none'}"
            )
    return [leaf for name, leaf in known.items() if name in names]


def decide(
    leaves: Sequence[Leaf],
    wanted: Collection[str] | None,
    env_id: str,
    look: Callable[[], Sequence[Any]],
    always: bool = False,
) -> tuple[tuple[str, ...], list[str]]:
    """The names of the entries whose remainders are kept, and notes for the user.

    Bounds beyond 2^24 decide. Without bounds, as many simulators declare float64, it is whether the
    first observation has such numbers.

    Args:
        wanted: these names; None: `env.double_precision: auto`.
        look: gives of each leaf the first observation, an array of any leading axes.
        always: look also where the space decides, so that rounded numbers are noted.

    Raises:
        UserError: `wanted` has a name that cannot be kept so.
    """
    parts: Sequence[Any] = [()] * len(leaves)
    is_open = any(_can_be(leaf) and _by_space(leaf.space) is None for leaf in leaves)
    if always or (wanted is None and is_open):
        with contextlib.suppress(*UNREADABLE):  # the first real reset will report it
            parts = look()
    large = {
        name_of(leaf): found
        for leaf, part in zip(leaves, parts, strict=True)
        if (found := _large(leaf, part))
    }
    if wanted is None:
        chosen = [leaf for leaf in leaves if _can_be(leaf) and _decided(leaf, large)]
    else:
        chosen = precise_leaves(leaves, wanted, env_id)
    names, notes = tuple(map(name_of, chosen)), []
    if coarse := [text for name, text in large.items() if name not in names]:
        notes.append(
            f"env.id: {env_id}: the observation has numbers beyond 16,777,216, between which "
            f"float32 holds no fractions and then not every whole number: {', '.join(coarse)}; let "
            "the environment give what matters, such as a difference"
        )
    if names and wanted is None:
        reasons = ", ".join(large.get(name, f"{name} by its bounds") for name in names)
        notes.append(
            f"env.double_precision: [{', '.join(names)}]: {env_id} may show numbers beyond "
            f"16,777,216, which float32 rounds ({reasons}); they are normalized before they are "
            "rounded"
        )
    return names, notes


def _decided(leaf: Leaf, large: Collection[str]) -> bool:
    said = _by_space(leaf.space)
    return name_of(leaf) in large if said is None else said


def halves(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """float32 of the values, and float32 of what that leaves."""
    exact = values.astype(np.float64)
    high = exact.astype(np.float32)
    return high, (exact - high).astype(np.float32)


def of_both_halves(rows: np.ndarray, layout: Layout) -> np.ndarray:
    """[..., F] float64: the numbers of rows [..., *row] of float32, without a mask."""
    numbers = rows[..., : layout.num_floats].astype(np.float64)
    place = layout.num_floats
    for _, (start, stop) in layout.precise:
        numbers[..., start:stop] += rows[..., place : place + stop - start]
        place += stop - start
    return numbers


def _large(leaf: Leaf, part: Any) -> str:
    """The first entry that float32 rounds, in words; empty where there is none."""
    value = np.asarray(part)
    if not isinstance(leaf.space, spaces.Box) or value.dtype.kind not in "fiu":
        return ""
    if value.dtype.itemsize < 4:
        return ""
    large = np.isfinite(value) & (np.abs(value.astype(np.float64)) >= LARGEST)
    if not large.any():
        return ""
    entry = int(np.flatnonzero(large)[0])
    name = ".".join([*map(str, leaf.path), str(entry % max(leaf.size, 1))])
    return f"entry {name} ({value.reshape(-1)[entry]:.17g})"


def _can_be(leaf: Leaf) -> bool:
    space = leaf.space
    if not isinstance(space, spaces.Box) or image_of_floats(space, 0, bool(leaf.path)):
        return False
    return space.dtype == np.float64 or (space.dtype.kind in "iu" and space.dtype.itemsize >= 4)


def _by_space(space: gym.Space) -> bool | None:
    """Whether its bounds lie beyond 2^24; None: it has none on some side."""
    assert isinstance(space, spaces.Box)
    low, high = (np.abs(side.astype(np.float64)) for side in (space.low, space.high))
    if space.dtype.kind != "f":
        return bool((np.maximum(low, high) > LARGEST).any())
    free = (low >= UNBOUNDED) | (high >= UNBOUNDED)
    if (np.maximum(low, high)[~free] > LARGEST).any():
        return True
    return None if free.any() else False
