"""An environment that ignores its seed: `random_env:Random-v0`."""

from __future__ import annotations

import os

import gymnasium as gym
import numpy as np
from gymnasium import spaces


class Random(gym.Env):
    observation_space = spaces.Box(0, 255, (2,))
    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = 0
        return self._observe(), {}

    def step(self, action):
        self.count += 1
        return self._observe(), 1.0, self.count == 50, False, {}

    def _observe(self):
        return np.frombuffer(os.urandom(2), np.uint8).astype(np.float32)


if "Random-v0" not in gym.registry:
    gym.register("Random-v0", entry_point="random_env:Random")
