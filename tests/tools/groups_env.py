"""Dict observations of several kinds: `groups_env:Keys-v0` and `groups_env:Views-v0`."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

VALUES = {
    "choice": spaces.Discrete(3, start=1),
    "goal": spaces.Box(-9, 9, (1,), np.float32),
    "position": spaces.Box(-9, 9, (1,), np.float32),
    "wide": spaces.Box(-900, 900, (2, 2), np.float64),
}


class Keys(gym.Env):
    """A point that is pushed to a goal.

    Args:
        only: the keys that are shown; None: all. mask: whether a mask is among them.
        length: steps of an episode.
    """

    spaces_: dict[str, Any] = VALUES

    def __init__(self, only: list[str] | None = None, mask: bool = False, length: int = 6) -> None:
        shown = [*(only or self.spaces_)]
        self.mask, self.length = mask, length
        parts = {key: self.spaces_[key] for key in shown}
        if mask:
            parts["action_mask"] = spaces.MultiBinary(3)
        self.observation_space = spaces.Dict(parts)
        self.action_space: gym.Space = (
            spaces.Discrete(3) if mask else spaces.Box(-1, 1, (1,), np.float32)
        )

    def values(self) -> dict[str, Any]:
        """Every key, drawn in the same order whatever is shown."""
        draw = self.np_random
        return {
            "choice": 1 + draw.integers(3),
            "goal": np.array([self.goal], np.float32),
            "position": np.array([self.position], np.float32),
            "wide": draw.normal(0, 100, (2, 2)),
            "action_mask": np.array([1, self.position > 0, self.position <= 0], np.int8),
        }

    def _observe(self) -> dict[str, Any]:
        values = self.values()
        return {key: values[key] for key in self.observation_space.spaces}

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.steps, self.goal, self.position = 0, *self.np_random.uniform(-1, 1, 2)
        return self._observe(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        self.position += 0.3 * float(np.asarray(action).reshape(-1)[0])
        reward = -((self.position - self.goal) ** 2)
        return self._observe(), float(reward), False, self.steps >= self.length, {}


class Views(Keys):
    """The same, with a picture, a depth image and a vector; the depth has the goal in it."""

    spaces_ = {
        "camera": spaces.Box(0, 255, (40, 44, 3), np.uint8),
        "depth": spaces.Box(0, np.inf, (36, 40), np.float32),
        "far": spaces.Box(-1, 1, (2, 36, 38), np.float64),
        "vector": spaces.Box(-9, 9, (3,), np.float32),
    }

    def values(self) -> dict[str, Any]:
        draw = self.np_random
        noise = draw.normal(0, 1, 3)
        return {
            "camera": draw.integers(0, 255, (40, 44, 3), np.uint8),
            "depth": (5 + self.goal + draw.uniform(0, 1, (36, 40))).astype(np.float32),
            "far": np.clip(draw.normal(0, 0.1, (2, 36, 38)), -1, 1),
            "vector": np.array([self.position, *noise[:2]], np.float32),
        }


for name in ("Keys", "Views"):
    if f"{name}-v0" not in gym.registry:
        gym.register(id=f"{name}-v0", entry_point=f"groups_env:{name}")
