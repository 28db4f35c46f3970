"""Small checks of an environment's outputs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from ppo.core.errors import UserError
from ppo.envs.observations import ObservationEncoder, as_array, is_tensor


def shortened(value: Any) -> str:
    """A value as text of at most 120 characters."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 120 else text[:117] + "..."


def scalar(where: Callable[[], str], reward: Any) -> float:
    """A reward as a Python float; bools, integers, and arrays and tensors of one entry pass."""
    if isinstance(reward, (bool, int, float, np.number, np.bool_)):
        return float(reward)
    array = _one_entry(reward)
    if array is None:
        raise UserError(f"{where()}: the reward must be one number, got {shortened(reward)}")
    return float(array)


def flag(where: Callable[[], str], name: str, found: Any) -> bool:
    """`terminated` or `truncated` as a bool; numbers, and arrays and tensors of one entry pass."""
    if isinstance(found, (bool, int, np.bool_)):
        return bool(found)
    array = _one_entry(found)
    if array is None:
        raise UserError(f"{where()}: {name} must be True or False, got {shortened(found)}")
    return bool(array)


def success(where: Callable[[], str], found: Any) -> float:
    """`info["is_success"]`, a bool or a share from 0 to 1; NaN where it is not known."""
    if found is None:
        return math.nan
    number = found if isinstance(found, (bool, int, float, np.number, np.bool_)) else None
    number = _one_entry(found) if number is None else number
    if number is None or number < 0 or number > 1:
        raise UserError(
            f"{where()}: info['is_success'] must be True, False or a number from 0 to 1, got "
            f"{shortened(found)}"
        )
    return float(number)


def _one_entry(found: Any) -> Any:
    """The number in an array or a tensor, or None where it is not one number."""
    if not (isinstance(found, np.ndarray) or is_tensor(found)):
        return None
    array = np.asarray(as_array(found))
    return array.reshape(-1)[0] if array.size == 1 and array.dtype.kind in "fiub" else None


def first_nonfinite(observation: np.ndarray) -> str:
    flat = observation.reshape(-1)
    entry = int(np.flatnonzero(~np.isfinite(flat))[0])
    return f"entry {entry} is {flat[entry]} (as float32)"


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
    return (low - room).astype(np.float32), (high + room).astype(np.float32)
