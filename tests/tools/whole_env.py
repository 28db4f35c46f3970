"""Actions that are whole numbers of a Box: `whole_env:Whole-v0`."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
from gymnasium import spaces


class Whole(gym.Env):
    """Five steps.

    Args:
        dtype: of the action. low, high: its bounds.
    """

    observation_space = spaces.Box(-1, 1, (3,), np.float32)

    def __init__(self, dtype: str = "int64", low: int = -2, high: int = 3) -> None:
        self.action_space = spaces.Box(low, high, (2,), np.dtype(dtype).type)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        self.count = 0
        return self.observation_space.sample(), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        self.count += 1
        return self.observation_space.sample(), float(action.sum()), self.count == 5, False, {}


if "Whole-v0" not in gym.registry:
    gym.register("Whole-v0", "whole_env:Whole")
