"""An environment with levels: `curriculum_env:Curriculum-v0`.

What is called changes the running episode at once and the beginning of the next, and adds up: a
call that is made twice, left out or made at another step leads elsewhere.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces


class Curriculum(gym.Env):
    observation_space = spaces.Box(-np.inf, np.inf, (2,))
    action_space = spaces.Box(-1, 1, (1,))

    def __init__(self, breaks_at: int = 0) -> None:
        self.level, self.calls, self.breaks_at = 0.0, 0, breaks_at

    def harder(self, step: float, more: dict[str, float] | None = None) -> float:
        self.level = 0.9 * self.level + step + (more or {}).get("extra", 0.0)
        self.calls += 1
        return self.level

    def fail(self) -> None:
        raise ZeroDivisionError("no such level")

    def this(self) -> Any:
        return self

    def told(self) -> dict[str, Any]:
        return {"calls": np.int64(self.calls), "level": np.float32(0.5), "place": np.arange(2)}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = self.np_random.normal(size=2) + self.level
        self.count = 0
        return self._observe(), {}

    def step(self, action):
        self.count += 1
        if self.breaks_at and self.count == self.breaks_at and self.calls == 1:
            raise RuntimeError("broken")
        self.place += 0.1 * action[0] + 0.01 * self.level + 0.01 * self.np_random.normal(size=2)
        over = bool(self.np_random.random() < 0.08)
        return self._observe(), float(-np.abs(self.place).sum()), over, False, {}

    def _observe(self):
        return self.place.astype(np.float32)


if "Curriculum-v0" not in gym.registry:
    gym.register("Curriculum-v0", entry_point="curriculum_env:Curriculum")
