"""A simulator that speaks in tensors (ppo.envs.TorchVectorEnv); nothing is inherited.

python examples/torch_simulator.py
"""

from __future__ import annotations

import sys

import numpy as np
import torch
from gymnasium.spaces import Box

from ppo import Config, Trainer


class Balls:
    """N balls that are to be held at 0; an episode lasts 50 steps."""

    single_observation_space = Box(-np.inf, np.inf, (2,))
    single_action_space = Box(-1, 1, (1,))

    def __init__(self, num_envs: int, device: str = "cpu") -> None:
        self.num_envs, self.device = num_envs, torch.device(device)
        self.random = torch.Generator(device)

    def _fresh(self):
        return torch.randn(self.num_envs, 2, generator=self.random, device=self.device)

    def reset(self, seed=None):
        self.random.manual_seed(seed)
        self.state, self.steps = self._fresh(), torch.zeros(self.num_envs, device=self.device)
        return self.state, {}

    def step(self, actions):
        speed = self.state[:, 1] + 0.1 * actions[:, 0]
        reached = torch.stack([self.state[:, 0] + 0.1 * speed, speed], -1)
        self.steps = (self.steps + 1) % 50
        late = self.steps == 0
        self.state = torch.where(late[:, None], self._fresh(), reached)  # reset in the same step
        rewards = -reached.square().sum(-1)
        return self.state, rewards, torch.zeros_like(late), late, {"final_obs": reached}

    def state_dict(self):  # with these two a resumed run is exact
        return {"state": self.state, "steps": self.steps, "random": self.random.get_state()}

    def load_state_dict(self, saved):
        self.state, self.steps = saved["state"], saved["steps"]
        self.random.set_state(saved["random"])


if __name__ == "__main__":
    config = Config.load(
        overrides=["env.num_envs=64", "train.total_timesteps=200_000", *sys.argv[1:]]
    )
    with Trainer(config, env=Balls(config.env.num_envs)) as trainer:
        trainer.train()
