"""A camera shows which way is lit, a depth image which is free; convolutions read both.

python examples/image_depth_vector.py
"""

import sys
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from ppo import Config, Trainer


class Reach(gym.Env):
    camera = spaces.Box(0, 255, (36, 36, 3), np.uint8)
    depth = spaces.Box(0.0, np.inf, (36, 36), np.float32)  # meters
    vector = spaces.Box(-1.0, 1.0, (2,), np.float32)
    observation_space = spaces.Dict(camera=camera, depth=depth, vector=vector)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        self.lit, self.free = self.np_random.integers(2, size=2)
        camera, depth = np.zeros((36, 36, 3), np.uint8), np.full((36, 36), 5.0, np.float32)
        camera[:, 18 * self.lit :][:, :18] = 200
        depth[:, 18 * (1 - self.free) :][:, :18] = 0.5
        self.seen = {"camera": camera, "depth": depth, "vector": np.zeros(2, np.float32)}
        return self.seen, {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict]:
        reward = 0.5 * (action == self.lit) + 0.5 * (action == self.free)
        return self.seen, float(reward), True, False, {}


gym.register("Reach-v0", Reach)
few = ["env.num_envs=16", "ppo.num_steps=32", "network.image_features=32"]
with Trainer(Config.load(overrides=["env.id=Reach-v0", *few, *sys.argv[1:]])) as trainer:
    trainer.train()
