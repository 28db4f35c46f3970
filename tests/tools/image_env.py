"""Observations with pixels: `image_env:Picture-v0`."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces


class Picture(gym.Env):
    """Shows a light in the left or the right half; going there is rewarded.

    Args:
        shape: of the picture; two axes are gray, a short first axis is the channels.
        numbers: show two numbers and a choice beside it. length: steps of an episode.
    """

    def __init__(
        self, shape: tuple[int, ...] = (40, 48, 3), numbers: bool = False, length: int = 8
    ) -> None:
        self.shape, self.numbers, self.length = tuple(shape), numbers, length
        picture = spaces.Box(0, 255, self.shape, np.uint8)
        beside = {
            "a_picture": picture,
            "choice": spaces.Discrete(3),
            "numbers": spaces.Box(-5, 5, (2,), np.float32),
        }
        self.observation_space = spaces.Dict(beside) if numbers else picture
        self.action_space = spaces.Discrete(2)

    def _observe(self) -> Any:
        self.side = int(self.np_random.integers(2))
        picture = self.np_random.integers(0, 60, self.shape, np.uint8)
        first = len(self.shape) == 3 and self.shape[0] < self.shape[2]
        view = np.moveaxis(picture, 0, -1) if first else picture
        half = view.shape[1] // 2
        view[:, half * self.side : half * (self.side + 1)] += 150
        if not self.numbers:
            return picture
        numbers = self.np_random.uniform(-5, 5, 2).astype(np.float32)
        return {"a_picture": picture, "choice": self.np_random.integers(3), "numbers": numbers}

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.steps = 0
        return self._observe(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        reward = 1.0 if int(action) == self.side else 0.0
        return self._observe(), reward, self.steps >= self.length, False, {}


if "Picture-v0" not in gym.registry:
    gym.register(id="Picture-v0", entry_point="image_env:Picture")
