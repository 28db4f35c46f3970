"""Spaces as JSON, so that a checkpoint can name what its policy reads and writes."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

from ppo.core.errors import UserError


def _numbers(array: np.ndarray) -> list[Any]:
    """A flat list in which infinities are words, because JSON has none; one entry if all equal."""
    flat = np.asarray(array, float).reshape(-1)
    if flat.size > 1 and (flat == flat[0]).all():
        flat = flat[:1]
    return [str(x) if not np.isfinite(x) else float(x) for x in flat]


def describe(space: gym.Space) -> dict[str, Any]:
    """A JSON-able description of a space.

    Raises:
        UserError: for kinds of space that have none.
    """
    if isinstance(space, gym.spaces.Box):
        return {
            "kind": "Box",
            "low": _numbers(space.low),
            "high": _numbers(space.high),
            "shape": list(space.shape),
            "dtype": str(space.dtype),
        }
    if isinstance(space, gym.spaces.Discrete):
        return {"kind": "Discrete", "n": int(space.n), "start": int(space.start)}
    if isinstance(space, gym.spaces.MultiDiscrete):
        return {"kind": "MultiDiscrete", "nvec": space.nvec.tolist(), "start": space.start.tolist()}
    if isinstance(space, gym.spaces.MultiBinary):
        return {"kind": "MultiBinary", "shape": list(space.shape)}
    if isinstance(space, gym.spaces.Dict):
        return {"kind": "Dict", "spaces": {name: describe(part) for name, part in space.items()}}
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


def _filled(numbers: list[float], shape: tuple[int, ...]) -> np.ndarray:
    return np.full(shape, numbers[0]) if len(numbers) == 1 else np.asarray(numbers).reshape(shape)


def restore(description: dict[str, Any]) -> gym.Space:
    """The space that `describe` described."""
    kind = description["kind"]
    if kind == "Box":
        shape, dtype = tuple(description["shape"]), np.dtype(description["dtype"])
        low, high = (
            _filled([float(x) for x in description[side]], shape).astype(dtype)
            for side in ("low", "high")
        )
        return gym.spaces.Box(low, high, shape, dtype.type)
    if kind == "Discrete":
        return gym.spaces.Discrete(description["n"], start=description["start"])
    if kind == "MultiDiscrete":
        return gym.spaces.MultiDiscrete(description["nvec"], start=description["start"])
    if kind == "MultiBinary":
        return gym.spaces.MultiBinary(description["shape"])
    if kind == "Dict":
        return gym.spaces.Dict({k: restore(part) for k, part in description["spaces"].items()})
    if kind == "Tuple":
        return gym.spaces.Tuple([restore(part) for part in description["spaces"]])
    assert kind == "Text", kind
    return gym.spaces.Text(
        description["max_length"],
        min_length=description["min_length"],
        charset=description["characters"],
    )
