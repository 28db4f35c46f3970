"""Small checks of an environment's outputs."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from numbers import Number
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from ppo.core.blame import brief
from ppo.core.errors import UserError
from ppo.envs.observations import ObservationEncoder, as_array


def shortened(value: Any) -> str:
    """A value as text of at most 120 characters."""
    return brief(value, longest=120)


def wrong_step(where: Callable[[], str], result: Any) -> UserError:
    """What to say of a step that gives something else than five values."""
    return UserError(
        f"{where()}: step must return (observation, reward, terminated, truncated, info dict), got "
        f"{shortened(result)}"
    )


def scalar(where: Callable[[], str], reward: Any, name: str = "the reward") -> float:
    """A reward as a Python float; numbers of any kind, and arrays and tensors of one entry pass."""
    if isinstance(reward, float | np.floating | np.bool_):
        return float(reward)
    number = _number(reward)
    if number is None:
        raise UserError(f"{where()}: {name} must be one number, got {shortened(reward)}")
    return number


def flag(where: Callable[[], str], name: str, found: Any) -> bool:
    """`terminated` or `truncated` as a bool; numbers, and arrays and tensors of one entry pass."""
    if isinstance(found, bool | np.bool_):
        return bool(found)
    number = _number(found)
    if number not in (0, 1):  # such as a reward in its place
        raise UserError(f"{where()}: {name} must be True or False, got {shortened(found)}")
    return number == 1


def success(where: Callable[[], str], found: Any) -> float:
    """`info["is_success"]`, a bool or a share from 0 to 1; NaN where it is not known."""
    if found is None:
        return math.nan
    number = _number(found)
    if number is None or number < 0 or number > 1:
        raise UserError(
            f"{where()}: info['is_success'] must be True, False or a number from 0 to 1, got "
            f"{shortened(found)}"
        )
    return number


def _number(found: Any) -> float | None:
    """The real number that this is, or that an array or a tensor holds alone; None: there is none.

    Whatever converts itself to an array counts as one, such as an array of JAX.
    """
    if hasattr(found, "__array__"):
        array = np.asarray(as_array(found))
        if array.size != 1 or array.dtype.kind not in "fiub":
            return None
        found = array.reshape(-1)[0].item()
    if not isinstance(found, Number) or isinstance(found, complex):
        return None
    try:
        return float(found)  # type: ignore[arg-type]
    except OverflowError:  # a whole number of 400 digits
        return math.inf if found > 0 else -math.inf  # type: ignore[operator]


def plain(value: Any) -> Any:
    """The value, with numbers and lists for those of numpy; None where JSON cannot hold it."""
    try:
        return json.loads(json.dumps(value, default=_listed))
    except (TypeError, ValueError, RecursionError):
        return None


def _listed(value: Any) -> Any:
    """
    Raises:
        TypeError: it is none of numpy's.
    """
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"an object of type {type(value).__name__}")


def first_nonfinite(numbers: np.ndarray | None) -> str:
    """The first that is not finite, in words; empty where all are, or there are none."""
    if numbers is None or np.isfinite(numbers).all():
        return ""
    entry = int(np.flatnonzero(~np.isfinite(numbers))[0])
    return f"entry {entry} is {numbers.reshape(-1)[entry]} (as float32)"


def bounds_of(
    space: gym.Space, encoder: ObservationEncoder
) -> tuple[np.ndarray, np.ndarray] | None:
    """Flat bounds [D] with room for rounding, or None without bounds."""
    if not isinstance(space, spaces.Box) or encoder.is_image:
        return None
    low = space.low.reshape(-1).astype(np.float64)
    high = space.high.reshape(-1).astype(np.float64)
    if not (np.isfinite(low).any() or np.isfinite(high).any()):
        return None
    finite = np.isfinite(low) & np.isfinite(high)
    span = np.subtract(high, low, out=np.zeros_like(low), where=finite)
    room = 1e-5 * (1.0 + span)
    with np.errstate(over="ignore"):  # bounds beyond float32 are none
        return (low - room).astype(np.float32), (high + room).astype(np.float32)
