"""A simulator's own state as named tensors, which is all that a checkpoint holds, and back.

Numbers, text and lists in it travel as JSON in one tensor of bytes.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ppo.core.errors import UserError

REST = "json"


def flat(state: Any) -> dict[str, Tensor]:
    """Copies of all tensors by number, and a tensor of bytes that holds the rest.

    Raises:
        UserError: it holds something else.
    """
    tensors: list[Tensor] = []
    rest = _plain(state, tensors)
    data = np.frombuffer(json.dumps(rest).encode(), np.uint8).copy()
    return {str(i): tensor for i, tensor in enumerate(tensors)} | {REST: torch.from_numpy(data)}


def nested(tensors: dict[str, Tensor], device: torch.device) -> Any:
    """The state that `flat` was given, tensors on the device that they were on."""
    return _whole(json.loads(tensors[REST].cpu().numpy().tobytes()), tensors, device)


def _plain(value: Any, tensors: list[Tensor]) -> Any:
    """What JSON can hold: lists for tuples, and for a tensor its number and where it was."""
    if isinstance(value, np.ndarray):
        tensors.append(torch.from_numpy(value.copy()))
        return {"tensor": len(tensors) - 1, "kind": "array"}
    if isinstance(value, Tensor):
        tensors.append(value.detach().clone())
        kind = "cpu" if value.device.type == "cpu" else "own"
        return {"tensor": len(tensors) - 1, "kind": kind}
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str | int):
                raise UserError(f"env: state_dict() of the simulator has the key {key!r}; use text")
        return {"dict": [[key, _plain(part, tensors)] for key, part in value.items()]}
    if isinstance(value, list | tuple):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return {kind: [_plain(part, tensors) for part in value]}
    if value is None or isinstance(value, bool | int | float | str):
        return {"value": value}
    raise UserError(
        f"env: state_dict() of the simulator holds an object of type {type(value).__name__}; "
        "allowed: tensors, arrays, numbers, text, and dicts, lists and tuples of them"
    )


def _whole(told: dict[str, Any], tensors: dict[str, Tensor], device: torch.device) -> Any:
    kind = next(iter(told))
    if kind == "tensor":
        tensor = tensors[str(told["tensor"])]
        if told["kind"] == "array":
            return tensor.cpu().numpy().copy()
        return tensor.to("cpu" if told["kind"] == "cpu" else device, copy=True)
    if kind == "dict":
        return {key: _whole(part, tensors, device) for key, part in told["dict"]}
    if kind in ("list", "tuple"):
        parts = [_whole(part, tensors, device) for part in told[kind]]
        return tuple(parts) if kind == "tuple" else parts
    return told["value"]
