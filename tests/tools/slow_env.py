"""An environment whose step takes two milliseconds."""

from __future__ import annotations

import time

import gymnasium as gym
from gymnasium.envs.classic_control import PendulumEnv


class Slow(PendulumEnv):
    def step(self, action):
        time.sleep(0.002)
        return super().step(action)


gym.register("Slow-v0", entry_point="slow_env:Slow", max_episode_steps=20)
