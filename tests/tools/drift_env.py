"""Environments whose state nobody can save: `drift_env:Drift-v0`, vectorized only."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv


class Drift(VectorEnv):
    """A random walk with one generator for all; episodes end at a random instant."""

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}

    def __init__(self, num_envs: int = 1) -> None:
        self.num_envs = num_envs
        self.single_observation_space = spaces.Box(-np.inf, np.inf, (2,))
        self.single_action_space = spaces.Box(-1, 1, (1,))
        self.action_space = spaces.Box(-1, 1, (num_envs, 1))

    def reset(self, *, seed=None, options=None):
        self.generator = np.random.default_rng(seed)
        self.position = self.generator.normal(size=(self.num_envs, 2)).astype(np.float32)
        return self.position.copy(), {}

    def step(self, actions):
        noise = self.generator.normal(size=self.position.shape)
        self.position = (self.position + 0.1 * noise + 0.1 * actions).astype(np.float32)
        over = self.generator.random(self.num_envs) < 0.1
        reached = self.position.copy()
        self.position[over] = 0
        rewards = -np.abs(reached).sum(1)
        infos = {"final_obs": reached, "_final_obs": over}
        return self.position.copy(), rewards, over, np.zeros(self.num_envs, bool), infos


if "Drift-v0" not in gym.registry:
    gym.register("Drift-v0", entry_point=None, vector_entry_point="drift_env:Drift")
