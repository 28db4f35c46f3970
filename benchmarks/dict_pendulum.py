"""Pendulum with a Dict observation and rewards a thousand times as large.

`env.id=dict_pendulum:DictPendulum-v0` with this folder on the path; a task of one_config.py.
"""

from __future__ import annotations

from typing import Any, SupportsFloat

import gymnasium
import numpy as np
from gymnasium.envs.classic_control.pendulum import PendulumEnv

TIMES = 1000.0  # every reward
Observation = dict[str, np.ndarray]


class DictPendulum(gymnasium.Env[Any, Any]):
    """Angle (cosine and sine) and speed as two entries; a step costs up to 16,000."""

    def __init__(self) -> None:
        self.pendulum = PendulumEnv()
        space = self.pendulum.observation_space
        entries = {
            name: gymnasium.spaces.Box(space.low[part], space.high[part], dtype=np.float32)
            for name, part in (("angle", slice(0, 2)), ("speed", slice(2, 3)))
        }
        self.observation_space = gymnasium.spaces.Dict(entries)
        self.action_space = self.pendulum.action_space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        obs, info = self.pendulum.reset(seed=seed, options=options)
        return _split(obs), info

    def step(
        self, action: np.ndarray
    ) -> tuple[Observation, SupportsFloat, bool, bool, dict[str, Any]]:
        obs, reward, terminated, truncated, info = self.pendulum.step(action)
        return _split(obs), TIMES * float(reward), terminated, truncated, info


def _split(obs: np.ndarray) -> Observation:
    return {"angle": obs[:2], "speed": obs[2:]}


gymnasium.register("DictPendulum-v0", DictPendulum, max_episode_steps=200)
