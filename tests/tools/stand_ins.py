"""Stand-ins with the interfaces of simulators that need a GPU, as docs/environments.md uses them.

All count: an observation is the number of steps of the episode, which ends after 3 + i % 2 of them,
by the time limit in environments of an even number.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor


class Counting:
    """The simulation; each stand-in shows it in its own way."""

    def __init__(self, num_envs: int) -> None:
        self.num_envs, self.device = num_envs, "cpu"
        self.ids = torch.arange(num_envs)
        self.count = torch.zeros(num_envs)

    def observed(self) -> Tensor:
        return self.count.unsqueeze(-1).expand(-1, 2).clone()

    def moved(self) -> tuple[Tensor, Tensor]:
        """Terminated and truncated, before any reset."""
        self.count += 1
        ended = self.count >= 3 + self.ids % 2
        even = self.ids % 2 == 0
        return ended & ~even, ended & even


class Isaac(Counting):
    """`step` resets by `_reset_idx`, then observes (isaaclab/envs/manager_based_rl_env.py)."""

    single_observation_space = gym.spaces.Dict({"policy": gym.spaces.Box(-np.inf, np.inf, (2,))})
    single_action_space = gym.spaces.Box(-np.inf, np.inf, (1,))

    def __init__(self, num_envs: int) -> None:
        super().__init__(num_envs)
        self.observation_manager = SimpleNamespace(compute=lambda: {"policy": self.observed()})

    def _reset_idx(self, ids: Tensor) -> None:
        self.count[ids] = 0

    def reset(self, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        self._reset_idx(self.ids)
        return self.observation_manager.compute(), {}

    def step(self, action: Tensor) -> tuple[Any, ...]:
        assert action.shape == (self.num_envs, 1)
        terminated, truncated = self.moved()
        ids = (terminated | truncated).nonzero().squeeze(-1)
        if len(ids) > 0:
            self._reset_idx(ids)
        obs = self.observation_manager.compute()
        return obs, torch.ones(self.num_envs), terminated, truncated, {"log": {}}


class Mjlab(Counting):
    """With `auto_reset=False` (mjlab/envs/manager_based_rl_env.py); spaces of its own."""

    single_observation_space = SimpleNamespace(spaces={"actor": SimpleNamespace(shape=(2,))})
    single_action_space = SimpleNamespace(shape=(1,))
    pending = False

    def reset(self, *, seed: int | None = None, env_ids: Tensor | None = None) -> tuple[Any, Any]:
        self.count[self.ids if env_ids is None else env_ids] = 0
        self.pending = False
        return {"actor": self.observed()}, {}

    def step(self, action: Tensor) -> tuple[Any, ...]:
        assert not self.pending
        terminated, truncated = self.moved()
        self.pending = bool((terminated | truncated).any())
        return {"actor": self.observed()}, torch.ones(self.num_envs), terminated, truncated, {}


class ManiSkill(Counting):
    """Infos of an end in `final_observation` and `final_info`, present where one ended alone."""

    single_observation_space = gym.spaces.Box(-np.inf, np.inf, (2,))
    single_action_space = gym.spaces.Box(-1, 1, (1,))

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        self.count[self.ids if options is None else options["env_idx"]] = 0
        return self.observed(), {}

    def step(self, actions: Tensor) -> tuple[Any, ...]:
        terminated, truncated = self.moved()
        obs, infos = self.observed(), {"success": terminated.clone()}
        ended = terminated | truncated
        if ended.any():
            final, last = obs.clone(), infos
            obs, infos = self.reset(options={"env_idx": self.ids[ended]})
            infos |= {"final_observation": final, "final_info": last}
        return obs, torch.ones(self.num_envs), terminated, truncated, infos


class Go2(Counting):
    """Four values and `extras["time_outs"]` (examples/locomotion/go2_env.py)."""

    num_obs, num_actions = 2, 1

    def reset(self) -> tuple[Tensor, None]:
        self.count[:] = 0
        return self.observed(), None

    def step(self, actions: Tensor) -> tuple[Any, ...]:
        terminated, truncated = self.moved()
        ended = terminated | truncated
        self.count[ended] = 0
        return self.observed(), torch.ones(self.num_envs), ended, {"time_outs": truncated.float()}
