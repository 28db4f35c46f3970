"""The critic sees what the actor does not: velocity and goal. The policy needs `position` alone.

python examples/asymmetric_critic.py
"""

import sys
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from ppo import Config, Trainer


class HiddenGoal(gym.Env):
    def __init__(self) -> None:
        one = spaces.Box(-np.inf, np.inf, (1,), np.float32)
        self.observation_space = spaces.Dict({"position": one, "velocity": one, "goal": one})
        self.action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        self.state, self.steps = self.np_random.uniform(-1, 1, (3, 1)).astype(np.float32), 0
        return dict(zip(("position", "velocity", "goal"), self.state.copy(), strict=True)), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        self.state[1] += 0.1 * (2.0 * action - 0.5 * self.state[1])
        self.state[0] += 0.1 * self.state[1]
        self.steps += 1
        observation = dict(zip(("position", "velocity", "goal"), self.state.copy(), strict=True))
        reward = -float((self.state[0] - self.state[2]).item() ** 2)
        return observation, reward, False, self.steps >= 50, {}


gym.register("HiddenGoal-v1", HiddenGoal)
keys = ["network.actor_keys=[position]", "network.shared_encoder=false"]  # critic_keys: null, all
with Trainer(Config.load(overrides=["env.id=HiddenGoal-v1", *keys, *sys.argv[1:]])) as trainer:
    trainer.train()
    print(trainer.policy.predict({"position": np.ones(1, np.float32)}))
