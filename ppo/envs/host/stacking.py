"""Stacked observations, for environments whose single frame does not show the whole state."""

from __future__ import annotations

from collections import deque
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from ppo.core.errors import UserError
from ppo.envs.entries import image_of_floats
from ppo.envs.observations import as_array


def _axis(space: spaces.Box) -> int:
    """The axis along which frames are joined: channels of an image, else the last."""
    if len(space.shape) == 3:
        return 0 if space.shape[0] < space.shape[2] else 2
    return -1


class FrameStack(gym.Wrapper):
    """The last `count` observations, the oldest first; a first observation is repeated.

    Images [H, W, C] become [H, W, count * C], [C, H, W] become [count * C, H, W] and those of two
    axes [H, W] become [count, H, W]; numbers [D] become [count * D]. In a Dict this is done to
    entries of numbers and of images, and other entries stay as they are.

    Raises:
        UserError: nothing in the observation can be stacked.
    """

    def __init__(self, env: gym.Env, count: int) -> None:
        super().__init__(env)
        self._count = count
        space = env.observation_space
        self._is_dict = isinstance(space, spaces.Dict)
        parts: dict[Any, Any] = space.spaces if isinstance(space, spaces.Dict) else {None: space}
        self._parts = {k: v for k, v in parts.items() if isinstance(v, spaces.Box) and v.shape}
        if not self._parts:
            raise UserError(
                f"env.frame_stack: observations of {space} cannot be stacked (Box and Dict can); "
                "write 1"
            )
        self._frames = {key: deque[np.ndarray](maxlen=count) for key in self._parts}
        stacked = {key: self._stacked(part) for key, part in self._parts.items()}
        self.observation_space = spaces.Dict(parts | stacked) if self._is_dict else stacked[None]

    def _stacked(self, space: spaces.Box) -> spaces.Box:
        low, high = (self._join([side] * self._count, space) for side in (space.low, space.high))
        return spaces.Box(low, high, dtype=space.dtype)  # type: ignore[arg-type]

    def _join(self, frames: list[np.ndarray], space: spaces.Box) -> np.ndarray:
        """Frames of a shape that fits no stack are left as they are, for the encoder to report."""
        flat = len(space.shape) == 2
        try:
            if flat and (space.dtype == np.uint8 or image_of_floats(space, 0, inside=True)):
                return np.stack(frames)
            return np.concatenate(frames, axis=_axis(space))
        except ValueError:
            return frames[-1]

    def _seen(self, observation: Any, times: int = 1) -> Any:
        """With what was seen before; an observation of another kind is for the encoder to report.

        Args:
            times: that it is added to its stack.
        """
        if not self._is_dict:
            return self._added(None, observation, times)
        if not isinstance(observation, dict):
            return observation
        return {
            key: self._added(key, value, times) if key in self._parts else value
            for key, value in observation.items()
        }

    def _added(self, key: Any, value: Any, times: int) -> np.ndarray:
        frames = self._frames[key]
        # A copy: an environment may write its next frame over this one.
        frames.extend([np.array(as_array(value))] * times)
        return self._join([*frames], self._parts[key])

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        observation, info = self.env.reset(**kwargs)
        return self._seen(observation, self._count), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(action)
        return self._seen(observation), reward, terminated, truncated, info
