"""The environments of clock_env as a simulator; apart, so that workers need no torch."""

from __future__ import annotations

from typing import Any

import torch
from clock_env import FIRST, PARTS, START, TICK, Clock


class Clocks:
    """The same as a simulator of tensors; its x is 0."""

    device, max_episode_steps = "cpu", None
    single_observation_space, single_action_space = PARTS, Clock.action_space

    def __init__(self, num_envs: int) -> None:
        self.num_envs = num_envs

    def reset(self, seed: int | None = None) -> tuple[Any, dict[str, Any]]:
        self.t = torch.zeros(self.num_envs, dtype=torch.int64)
        return self._shown(), {}

    def step(self, actions: torch.Tensor) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        rewards = (actions == (self.t <= 4)).double()
        self.t = self.t + 1
        final, ended = self._shown(), self.t == 10
        self.t = torch.where(ended, 0, self.t)
        return self._shown(), rewards, ended, torch.zeros_like(ended), {"final_obs": final}

    def _shown(self) -> dict[str, torch.Tensor]:
        t = self.t[:, None]
        time = START + TICK * t.double()
        return {"count": FIRST + t, "time": time, "x": torch.zeros(len(t), 1)}
