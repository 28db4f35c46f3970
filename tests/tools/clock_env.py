"""Environments whose observations float32 rounds: a time stamp and a count; without torch."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

START, TICK, FIRST = 1.7e9, 0.01, 2**33
NUMBERS = spaces.Box(-np.inf, np.inf, (2,), np.float64)
PARTS = spaces.Dict(
    {
        "count": spaces.Box(0, np.iinfo(np.int64).max, (1,), np.int64),
        "time": spaces.Box(-np.inf, np.inf, (1,), np.float64),
        "x": spaces.Box(-1, 1, (1,), np.float32),
    }
)


class Clock(gym.Env):
    """Ten steps; pays for the action 1 while the clock has gone at most 0.04 seconds."""

    action_space = spaces.Discrete(2)

    def __init__(self, several: bool = True, start: float = START) -> None:
        self.several, self.start = several, start
        self.observation_space = PARTS if several else NUMBERS

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.t = 0
        return self._shown(), {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        reward = float(action == (self.t <= 4))
        self.t += 1
        return self._shown(), reward, self.t == 10, False, {}

    def _shown(self) -> Any:
        time, x = self.start + TICK * self.t, float(self.np_random.uniform(-1, 1))
        if not self.several:
            return np.array([time, x])
        count = np.array([FIRST + self.t], np.int64)
        return {"count": count, "time": np.array([time]), "x": np.array([x], np.float32)}


if "Clock-v0" not in gym.registry:
    gym.register("Clock-v0", entry_point="clock_env:Clock")
