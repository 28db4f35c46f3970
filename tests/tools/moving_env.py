"""An environment that changes the working directory: `moving_env:Moves-v0`."""

from __future__ import annotations

import os

import gymnasium as gym
import numpy as np
from gymnasium import spaces


class Moves(gym.Env):
    """Ten steps; it draws itself.

    Args:
        when: the directory is changed: init, reset or step. to: where.
    """

    metadata = {"render_modes": ["rgb_array"]}
    observation_space = spaces.Box(-1, 1, (3,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, to: str, when: str = "init", render_mode: str | None = None) -> None:
        self.render_mode, self.to, self.when = render_mode, to, when
        self._move("init")

    def _move(self, now: str) -> None:
        if now == self.when:
            os.chdir(self.to)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = 0
        self._move("reset")
        return np.zeros(3, np.float32), {}

    def step(self, action):
        self.count += 1
        self._move("step")
        return np.zeros(3, np.float32), 1.0, self.count == 10, False, {}

    def render(self):
        return np.zeros((40, 50, 3), np.uint8)


if "Moves-v0" not in gym.registry:
    gym.register("Moves-v0", "moving_env:Moves")
