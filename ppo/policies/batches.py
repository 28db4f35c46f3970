"""Observations that a policy is asked about: one or a batch of them, and whether all are finite."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from ppo.envs.entries import name_of
from ppo.envs.observations import ObservationEncoder, as_array, is_text


def rows_of(space: gym.Space, observation: Any) -> list[Any] | None:
    """N observations of `space`, where `observation` holds N of them; None: it is one.

    Args:
        observation: one, or each of its entries (of Dict and Tuple) with a first axis [N, ...].

    Raises:
        ValueError: the entries hold different numbers of observations.
    """
    sizes = set(_sizes(space, observation))
    if len(sizes) > 1:
        raise ValueError(
            "the entries of the observation hold "
            + " and ".join("one" if n is None else str(n) for n in sorted(sizes, key=str))
        )
    size = sizes.pop() if sizes else None
    if size is None:
        return None
    return [_row(space, observation, index) for index in range(size)]


def is_of_reset(space: gym.Space, value: Any) -> bool:
    """Whether it is no observation, but the pair of one and an info."""
    pair = isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], dict)
    return pair and not isinstance(space, spaces.Tuple)


def _sizes(space: gym.Space, value: Any) -> Iterator[int | None]:
    """Of each entry, how many observations it holds; None: one, or something that does not fit."""
    if is_text(space):  # is not learned from
        return
    parts = _parts(space, value)
    if parts is None:
        array = np.asarray(as_array(value))
        stacked = array.ndim > 0 and array.shape[1:] == space.shape
        yield len(array) if stacked and array.shape != space.shape else None
        return
    for part, inner in parts:
        yield from _sizes(part, inner)


def _parts(space: gym.Space, value: Any) -> list[tuple[gym.Space, Any]] | None:
    """The entries of Dict and Tuple that are there; None: another space."""
    if isinstance(space, spaces.Dict) and isinstance(value, dict):
        return [(part, value[key]) for key, part in space.spaces.items() if key in value]
    if isinstance(space, spaces.Tuple) and isinstance(value, tuple | list):
        return list(zip(space.spaces, value, strict=False))
    return None


def _row(space: gym.Space, value: Any, index: int) -> Any:
    if is_text(space):
        return None
    if isinstance(space, spaces.Dict):
        return {
            key: _row(part, value[key], index) for key, part in space.spaces.items() if key in value
        }
    if isinstance(space, spaces.Tuple):
        pairs = zip(space.spaces, value, strict=False)
        return tuple(_row(part, inner, index) for part, inner in pairs)
    return as_array(value)[index]


def refuse_infinite(encoder: ObservationEncoder, rows: np.ndarray, alone: bool = False) -> None:
    """
    Args:
        rows: [N, ...] as the encoder writes them. alone: there is one, which has no number.

    Raises:
        ValueError: an entry is NaN or infinite, for which no action has a meaning.
    """
    numbers = None if encoder.is_image else encoder.floats(rows)
    if numbers is None or np.isfinite(numbers).all():
        return
    row, place = (int(i) for i in np.argwhere(~np.isfinite(numbers))[0])
    leaf = next(leaf for leaf in encoder.leaves if leaf.start <= place < leaf.stop)
    within = f" of {name_of(leaf)!r}" if leaf.path else ""
    which = "the observation" if alone else f"observation {row}"
    raise ValueError(f"entry {place - leaf.start}{within} of {which} is {numbers[row, place]:g}")
