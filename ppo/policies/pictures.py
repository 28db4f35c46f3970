"""What an environment's `render` gives, as a picture: the forms that are in use."""

from __future__ import annotations

from typing import Any

import numpy as np

from ppo.envs.host.checks import shortened
from ppo.envs.observations import as_array

CHANNELS = (1, 3, 4)  # gray, color, color with alpha


def picture(frame: Any) -> np.ndarray:
    """[H, W, 3] uint8 of [H, W], [H, W, C] or [C, H, W]: bytes, or floats up to 1 or up to 255.

    Args:
        frame: an array, a tensor or lists of numbers, or the last entry of a list of frames.

    Raises:
        ValueError: it is no picture; says what it is.
    """
    try:
        array = np.asarray(as_array(frame))
    except (ValueError, TypeError):
        array = np.zeros(0)
    if frame is None or array.dtype.kind not in "fiub" or array.ndim == 0:
        raise ValueError(f"render gave {shortened(frame)}, and a picture is [H, W, 3] of uint8")
    if isinstance(frame, list) and array.ndim == 4:  # as render_mode rgb_array_list gives it
        array = array[-1]
    if array.ndim == 2:
        array = array[..., None]
    elif array.ndim == 3 and array.shape[-1] not in CHANNELS and array.shape[0] in CHANNELS:
        array = np.moveaxis(array, 0, -1)
    if array.ndim != 3 or array.shape[-1] not in CHANNELS or not array.size:
        raise ValueError(
            f"render gave {array.dtype} of shape {array.shape}, and a picture is [H, W, 3] of uint8"
        )
    color = _bytes(array)[..., :3]
    return np.ascontiguousarray(np.broadcast_to(color, (*color.shape[:2], 3)))


def _bytes(array: np.ndarray) -> np.ndarray:
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    if not (np.isfinite(array).all() and array.min() >= 0 and array.max() <= 255):
        raise ValueError(
            f"render gave numbers from {array.min():g} to {array.max():g}, and a picture has those "
            "from 0 to 255, or to 1"
        )
    if array.dtype.kind == "f" and array.max() <= 1:
        array = array * 255
    return np.rint(array).astype(np.uint8)
