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


def _stacks(space: gym.Space) -> bool:
    return isinstance(space, spaces.Box) and len(space.shape) >= 1


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
        self._frames: deque[Any] = deque(maxlen=count)
        space = env.observation_space
        if isinstance(space, spaces.Dict) and any(_stacks(s) for s in space.values()):
            parts = {k: self._stacked(v) if _stacks(v) else v for k, v in space.items()}
            self.observation_space = spaces.Dict(parts)
        elif _stacks(space):
            self.observation_space = self._stacked(space)
        else:
            raise UserError(
                f"env.frame_stack: observations of {space} cannot be stacked (Box and Dict can); "
                "write 1"
            )

    def _stacked(self, space: Any) -> spaces.Box:
        low, high = (self._join([side] * self._count, space) for side in (space.low, space.high))
        return spaces.Box(low, high, dtype=space.dtype)

    def _join(self, frames: list[Any], space: Any) -> np.ndarray:
        """Frames of a shape that fits no stack are left as they are, for the encoder to report."""
        flat = len(space.shape) == 2
        try:
            if flat and (space.dtype == np.uint8 or image_of_floats(space, 0, inside=True)):
                return np.stack(frames)
            return np.concatenate(frames, axis=_axis(space))
        except ValueError:
            return frames[-1]

    def _observation(self) -> Any:
        space = self.env.observation_space
        if not isinstance(space, spaces.Dict):
            return self._join(list(self._frames), space)
        if not isinstance(self._frames[-1], dict):
            return self._frames[-1]
        last = dict(self._frames[-1])
        for key, part in space.items():
            if _stacks(part) and key in last:
                last[key] = self._join([frame[key] for frame in self._frames], part)
        return last

    def _kept(self, observation: Any) -> Any:
        """A copy of what will be stacked: an environment may write its next frame over this one."""
        space = self.env.observation_space
        if not isinstance(space, spaces.Dict):
            return np.array(as_array(observation))
        if not isinstance(observation, dict):
            return observation
        stacked = {key for key, part in space.items() if _stacks(part)}
        return {k: np.array(as_array(v)) if k in stacked else v for k, v in observation.items()}

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        observation, info = self.env.reset(**kwargs)
        self._frames.extend([self._kept(observation)] * self._count)
        return self._observation(), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._frames.append(self._kept(observation))
        return self._observation(), reward, terminated, truncated, info
