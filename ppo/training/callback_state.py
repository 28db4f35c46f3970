"""States of callbacks in a checkpoint: plain JSON beside tensors, without code inside.

A number that is not finite, and a tensor, stand in the JSON as an object with one of the keys
below. Tensors travel as bytes, so that NaN in them does not look like a fault of the training.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ppo.core.errors import UserError

NUMBER, TENSOR = "$number", "$tensor"
PREFIX = "callbacks."  # prefix of the tensors' names in a checkpoint


def pack(state: Any, place: str, tensors: dict[str, Tensor]) -> Any:
    """A state as JSON; its tensors are added to `tensors`.

    Args:
        place: names the state where it cannot be saved.

    Raises:
        UserError: it holds something else than numbers, strings, lists, dicts and tensors.
    """
    if isinstance(state, np.generic):
        state = state.item()
    if state is None or isinstance(state, bool | int | str):
        return state
    if isinstance(state, float):
        return state if math.isfinite(state) else {NUMBER: str(state)}
    if isinstance(state, list | tuple):
        return [pack(item, f"{place}[{i}]", tensors) for i, item in enumerate(state)]
    if isinstance(state, dict) and all(isinstance(key, str) for key in state):
        return {key: pack(item, f"{place}.{key}", tensors) for key, item in state.items()}
    if isinstance(state, Tensor) and state.layout == torch.strided:
        name = f"{PREFIX}{len(tensors)}"
        plain = state.detach().to("cpu", copy=True).contiguous().reshape(-1)
        tensors[name] = plain.view(torch.uint8)
        dtype = str(state.dtype).removeprefix("torch.")
        return {TENSOR: name, "dtype": dtype, "shape": list(state.shape)}
    raise UserError(
        f"{place}: a {type(state).__name__} cannot be saved; allowed: numbers, strings, tensors, "
        "and lists and dicts (with strings as keys) of them"
    )


def unpack(state: Any, tensors: dict[str, Tensor]) -> Any:
    """What `pack` was given; tuples are lists now, and tensors are on the CPU."""
    if isinstance(state, list):
        return [unpack(item, tensors) for item in state]
    if not isinstance(state, dict):
        return state
    if NUMBER in state:
        return float(state[NUMBER])
    if TENSOR in state:
        dtype = getattr(torch, state["dtype"])
        return tensors[state[TENSOR]].clone().view(dtype).reshape(state["shape"])
    return {key: unpack(item, tensors) for key, item in state.items()}
