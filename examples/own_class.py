"""An environment of your own, as a class. A factory is given likewise: env=lambda: Walk(0.1).

python examples/own_class.py
"""

from __future__ import annotations

import sys

import gymnasium as gym
import numpy as np

from ppo import Config, Trainer


class Walk(gym.Env):
    """A step to the left or to the right; 5 places to the right is the goal."""

    observation_space = gym.spaces.Box(-20, 20, (1,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)  # all that is random comes from self.np_random
        self.place, self.steps = int(self.np_random.integers(-2, 3)), 0
        return np.array([self.place], np.float32), {}

    def step(self, action):
        self.place, self.steps = self.place + (1 if action == 1 else -1), self.steps + 1
        reached, too_late = self.place >= 5, self.steps >= 20
        obs = np.array([self.place], np.float32)
        return (
            obs,
            float(reached) - 0.01,
            reached,
            too_late and not reached,
            {"is_success": reached},
        )


if __name__ == "__main__":
    settings = ["env.num_envs=8", "train.total_timesteps=50_000", *sys.argv[1:]]
    with Trainer(Config.load(overrides=settings), env=Walk) as trainer:
        print(trainer.train()["best_return"])
