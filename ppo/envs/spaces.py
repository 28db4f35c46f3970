"""Spaces as JSON, so that a checkpoint can name what its policy reads and writes."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

from ppo.core.errors import UserError
from ppo.envs.entries import refuse_keys


def _bound(array: np.ndarray, bounded: np.ndarray, infinity: str) -> list[Any]:
    """A flat list, exact in every dtype; one entry if all are equal.

    Infinities are words, because JSON has none, and integers beside them have none either:
    Gymnasium then keeps the largest number and remembers that it is no bound.
    """
    numbers = [
        number if is_bounded else infinity
        for number, is_bounded in zip(array.reshape(-1).tolist(), bounded.reshape(-1), strict=True)
    ]
    return numbers[:1] if all(number == numbers[0] for number in numbers) else numbers


def describe(space: gym.Space) -> dict[str, Any]:
    """A JSON-able description of a space.

    Raises:
        UserError: for kinds of space that have none.
    """
    if isinstance(space, gym.spaces.Box):
        return {
            "kind": "Box",
            "low": _bound(space.low, space.bounded_below, "-inf"),
            "high": _bound(space.high, space.bounded_above, "inf"),
            "shape": list(space.shape),
            "dtype": str(space.dtype),
        }
    if isinstance(space, gym.spaces.Discrete):
        numbers = {"n": int(space.n), "start": int(space.start)}
        return {"kind": "Discrete", **numbers, "dtype": str(space.dtype)}
    if isinstance(space, gym.spaces.MultiDiscrete):
        numbers = {"nvec": space.nvec.tolist(), "start": space.start.tolist()}
        return {"kind": "MultiDiscrete", **numbers, "dtype": str(space.dtype)}
    if isinstance(space, gym.spaces.MultiBinary):
        # 5 and [5] are not equal to Gymnasium.
        shape = list(space.shape) if isinstance(space.n, tuple) else int(space.n)
        return {"kind": "MultiBinary", "shape": shape}
    if isinstance(space, gym.spaces.Dict):
        return {"kind": "Dict", **_entries(space)}
    if isinstance(space, gym.spaces.Tuple):
        return {"kind": "Tuple", "spaces": [describe(part) for part in space]}
    if isinstance(space, gym.spaces.Text):
        return {
            "kind": "Text",
            "min_length": space.min_length,
            "max_length": space.max_length,
            "characters": "".join(sorted(space.character_set)),
        }
    raise UserError(f"env.id: the space {space} cannot be saved with a policy")


def _entries(space: gym.spaces.Dict) -> dict[str, Any]:
    """By name; as pairs where a key is a number, which JSON would turn into a word."""
    if all(isinstance(key, str) for key in space.spaces):
        return {"spaces": {key: describe(part) for key, part in space.spaces.items()}}
    refuse_keys(space)
    names = [key if isinstance(key, str) else int(key) for key in space.spaces]
    parts = space.spaces.values()
    return {"pairs": [[key, describe(part)] for key, part in zip(names, parts, strict=True)]}


def _restored_box(description: dict[str, Any]) -> gym.spaces.Box:
    shape, dtype = tuple(description["shape"]), np.dtype(description["dtype"])
    sides, bounded = [], []
    for side, infinity in (("low", -np.inf), ("high", np.inf)):
        numbers = description[side] * (int(np.prod(shape)) if len(description[side]) == 1 else 1)
        free = [isinstance(number, str) for number in numbers]
        # What Gymnasium puts in place of an infinity in this dtype.
        unlimited = gym.spaces.Box(-np.inf, np.inf, (), dtype) if dtype.kind in "fi" else None
        limit = getattr(unlimited, side, infinity) if any(free) else 0
        values = [
            limit if is_free else number for number, is_free in zip(numbers, free, strict=True)
        ]
        flat = np.empty(len(values), dtype)
        for i, value in enumerate(values):  # one by one: a list of mixed numbers becomes floats
            flat[i] = value
        sides.append(flat.reshape(shape))
        bounded.append(~np.array(free, bool).reshape(shape))
    box = gym.spaces.Box(sides[0], sides[1], shape, dtype.type)
    box.bounded_below, box.bounded_above = bounded
    return box


def _other_dtype(description: dict[str, Any]) -> dict[str, Any]:
    """The argument that Gymnasium's older versions do not have, only where it is needed."""
    name = description.get("dtype", "int64")
    return {} if name == "int64" else {"dtype": np.dtype(name).type}


def restore(description: dict[str, Any]) -> gym.Space:
    """The space that `describe` described."""
    kind = description["kind"]
    if kind == "Box":
        return _restored_box(description)
    if kind == "Discrete":
        more = _other_dtype(description)
        return gym.spaces.Discrete(description["n"], start=description["start"], **more)
    if kind == "MultiDiscrete":
        more, nvec = _other_dtype(description), np.array(description["nvec"])
        return gym.spaces.MultiDiscrete(nvec, start=np.array(description["start"]), **more)
    if kind == "MultiBinary":
        return gym.spaces.MultiBinary(description["shape"])
    if kind == "Dict":
        pairs = description.get("pairs") or description["spaces"].items()
        return gym.spaces.Dict({key: restore(part) for key, part in pairs})
    if kind == "Tuple":
        return gym.spaces.Tuple([restore(part) for part in description["spaces"]])
    assert kind == "Text", kind
    return gym.spaces.Text(
        description["max_length"],
        min_length=description["min_length"],
        charset=description["characters"],
    )
