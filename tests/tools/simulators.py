"""Simulators for tests, each a `ppo.envs.TorchVectorEnv`; what is odd in them is on purpose."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor

from ppo.envs.base import Environments
from ppo.envs.native import REGISTRY
from ppo.envs.torch_env import Carry, advance, start


class Wrapped:
    """Environments of ours as a simulator: with their seeds, whatever seed it is given."""

    device = "cpu"

    def __init__(self, envs: Environments) -> None:
        self.envs, self.num_envs = envs, envs.num_envs
        self.single_observation_space = envs.observation_space
        self.single_action_space = envs.action_space

    def reset(self, seed: int | None = None) -> tuple[Tensor, dict[str, Any]]:
        return self.envs.reset(), {}

    def step(self, actions: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, dict[str, Any]]:
        step = self.envs.step(actions)
        info = {"final_obs": step.final_obs, "is_success": step.success}
        return step.obs, step.rewards.sum(-1), step.terminated, step.truncated, info

    def state_dict(self) -> dict[str, Any]:
        return dict(self.envs.state_dict())

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.envs.load_state_dict(state)


class Native:
    """The torch form of an environment, as a simulator that shows its own buffers."""

    saves = True

    def __init__(self, num_envs: int, device: str = "cpu", env_id: str = "CartPole-v1") -> None:
        self.env = REGISTRY.get(env_id)()
        self.num_envs, self.device = num_envs, torch.device(device)
        self.single_observation_space = self.env.observation_space
        self.single_action_space = self.env.action_space
        self.ids = torch.arange(num_envs, device=self.device)
        size = self.env.observation_space.shape[0]
        self.obs, self.final = (torch.zeros(num_envs, size, device=self.device) for _ in range(2))
        self.seeds: list[int] = []
        self.closings = 0

    def reset(self, seed: int | None = None) -> tuple[Tensor, dict[str, Any]]:
        assert seed is not None
        self.seeds.append(seed)
        self.seed = torch.full((), seed, dtype=torch.int64, device=self.device)
        self.carry = start(self.env, self.ids, torch.zeros_like(self.ids), self.seed)
        self.obs.copy_(self.env.observe(self.carry.state))
        return self.obs, {}

    def step(self, actions: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, dict[str, Any]]:
        self.carry, step = advance(self.env, self.carry, actions, self.ids, self.seed)
        actions.zero_()  # its own from here on
        self.obs.copy_(step.obs)
        self.final.copy_(step.final_obs)
        info = {"final_obs": self.final, "is_success": step.success}
        return self.obs, step.rewards[:, 0], step.terminated, step.truncated, info

    def close(self) -> None:
        self.closings += 1


class Saving(Native):
    """It can save its state, which holds more than tensors."""

    def state_dict(self) -> dict[str, Any]:
        return {"carry": self.carry, "seed": int(self.seed), "name": "cart"}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        assert state["name"] == "cart"
        self.carry = Carry(*state["carry"])
        self.seed = torch.full((), state["seed"], dtype=torch.int64, device=self.device)


class Everything:
    """Every kind of entry and of info, episodes of 3, 4, 5, ... steps."""

    single_observation_space = gym.spaces.Dict({
        "picture": gym.spaces.Box(0, 255, (40, 40, 3), np.uint8),
        "numbers": gym.spaces.Box(-np.inf, np.inf, (2, 2), np.float64),
        "choice": gym.spaces.Discrete(3, start=5),
        "choices": gym.spaces.MultiDiscrete([2, 4]),
        "bits": gym.spaces.MultiBinary(3),
    })  # fmt: skip
    single_action_space: gym.Space = gym.spaces.MultiDiscrete([2, 3])

    def __init__(self, num_envs: int, device: str = "cpu") -> None:
        self.num_envs, self.device = num_envs, torch.device(device)
        self.ids = torch.arange(num_envs, device=self.device)

    def reset(self, seed: int | None = None) -> tuple[dict[str, Tensor], dict[str, Any]]:
        self.count = torch.zeros_like(self.ids)
        return self._observed(self.count), self._mask()

    def _observed(self, count: Tensor) -> dict[str, Tensor]:
        def full(*shape: int) -> Tensor:
            return count.reshape(-1, *(1 for _ in shape)).expand(-1, *shape).clone()

        return {
            "picture": full(40, 40, 3).to(torch.uint8),
            "numbers": full(2, 2).double() + self.ids[:, None, None],
            "choice": 5 + count % 3,
            "choices": torch.stack([count % 2, count % 4], -1),
            "bits": torch.stack([count % 2, count % 3 % 2, self.ids % 2], -1),
        }

    def _mask(self) -> dict[str, Tensor]:
        mask = torch.ones(self.num_envs, 5, dtype=torch.int8, device=self.device)
        mask[:, 1] = self.count % 2
        return {"action_mask": mask}

    def step(self, actions: Tensor) -> tuple[Any, Tensor, Tensor, Tensor, dict[str, Any]]:
        self.count = self.count + 1
        final = self._observed(self.count)
        ended = self.count >= 3 + self.ids
        truncated = ended & (self.ids % 2 == 1)
        self.count = torch.where(ended, 0, self.count)
        parts = {"near": self.ids.float(), "far": -2.0 * self.ids.float()}
        info = {"final_obs": final, "is_success": self.ids % 2 == 0, "reward_components": parts}
        rewards = (parts["near"] + parts["far"]).unsqueeze(-1)
        ends = (ended & ~truncated).float()
        return self._observed(self.count), rewards, ends, truncated, info | self._mask()
