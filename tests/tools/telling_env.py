"""An environment that reports numbers in info: `telling_env:Telling-v0`."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
from gymnasium import spaces


class Telling(gym.Env):
    """Episodes of 3 to 9 steps; `total` is the sum of what was observed, `length` the steps."""

    observation_space = spaces.Box(-1, 1, (3,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, many=0, broken=False):
        self.many, self.broken = many, broken

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.last, self.count, self.total = int(self.np_random.integers(3, 10)), 0, 0.0
        return self._observe(), {"total": 1e9}  # a reset ends nothing

    def _observe(self):
        return self.np_random.uniform(-1, 1, 3).astype(np.float32)

    def step(self, action):
        obs = self._observe()
        self.count += 1
        self.total += float(obs.sum())
        ended = self.count == self.last
        metrics = {"length": np.int64(self.count), "even": self.count % 2 == 0}
        metrics |= {f"n{i:02d}": i for i in range(self.many)}
        if self.broken:
            metrics |= {"nan": np.nan, "inf": -np.inf, "huge": 10**400, "text": "x", "none": None,
                        "list": [1.0], 7: 1.0, "\ud800": 1.0, "sometimes": np.float32(np.nan)
                        if self.last < 6 else np.float32(2.0)}  # fmt: skip
        info = {"total": self.total, "is_success": ended, "metrics": metrics}
        return obs, 1.0, ended, False, info


gym.register("Telling-v0", "telling_env:Telling")
