"""An environment whose spaces can be changed between two runs: `changed_env:Changed-v0`."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
from gymnasium import spaces

OBSERVATION = spaces.Box(-1, 1, (3,), np.float32)
ACTION = spaces.Box(-1, 1, (2,), np.float32)


class Changed(gym.Env):
    """Five steps; the two spaces are set on the class, before it is made."""

    observation_space: gym.Space = OBSERVATION
    action_space: gym.Space = ACTION
    components: tuple[str, ...] = ()

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        self.count = 0
        return self.observation_space.sample(), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        self.count += 1
        info = {"reward_components": dict.fromkeys(self.components, 1.0)} if self.components else {}
        reward = float(len(self.components) or 1)
        return self.observation_space.sample(), reward, self.count == 5, False, info


if "Changed-v0" not in gym.registry:
    gym.register("Changed-v0", "changed_env:Changed")
