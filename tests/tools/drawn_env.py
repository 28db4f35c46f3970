"""An environment that draws what it is given: `drawn_env:Drawn-v0`."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
from gymnasium import spaces

GRAY = np.full((40, 50), 51, np.uint8)  # a fifth of white


class Blind(gym.Env):
    """Three steps; draws nothing, and says so."""

    metadata = {"render_modes": []}
    observation_space = spaces.Box(-1, 1, (3,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self) -> None:
        pass

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = 0
        return np.zeros(3, np.float32), {}

    def step(self, action):
        self.count += 1
        return np.zeros(3, np.float32), 1.0, self.count == 3, False, {}


class Tolerant(Blind):
    def __init__(self, **kwargs) -> None:
        pass


class Drawn(Blind):
    """Three steps; `frame` is set on the class: an array, a function without arguments, or None."""

    metadata = {"render_modes": ["rgb_array", "human"], "render_fps": 10}
    frame: object = None

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode

    def render(self):
        return self.frame() if callable(self.frame) else self.frame


class NoMode(Drawn):
    def __init__(self) -> None:
        pass


def drawing() -> gym.Env:
    return Drawn("rgb_array")


if "Drawn-v0" not in gym.registry:
    gym.register("Drawn-v0", "drawn_env:Drawn")
    gym.register("NoMode-v0", "drawn_env:NoMode")
