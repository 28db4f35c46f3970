"""An environment that needs a port of its own: `port_env:Port-v0`."""

from __future__ import annotations

import errno
import os

import gymnasium as gym
import numpy as np
from gymnasium import spaces

taken: set[int] = set()  # in this process


class Port(gym.Env):
    """Five steps; observes its port."""

    observation_space = spaces.Box(0, 65535, (1,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, port: int = 5000, scene: str = "", more: dict | None = None) -> None:
        assert type(port) is int, port
        if port in taken:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        taken.add(port)
        self.port, self.scene, self.more = port, scene, more

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = 0
        return np.array([self.port], np.float32), {}

    def step(self, action):
        self.count += 1
        return np.array([self.port], np.float32), 1.0, self.count == 5, False, {}

    def close(self):
        taken.discard(self.port)


if "Port-v0" not in gym.registry:
    gym.register("Port-v0", "port_env:Port")
