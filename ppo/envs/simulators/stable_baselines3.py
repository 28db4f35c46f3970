"""A VecEnv of Stable-Baselines3 as a vector environment of Gymnasium."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

METHODS = ("reset", "step_async", "step_wait", "env_method", "get_attr")
# Of an info: what this form adds for the algorithm, and what its Monitor counts.
ADDED = {"terminal_observation", "TimeLimit.truncated", "episode"}


def is_vec_env(env: Any) -> bool:
    """Whether it has what a VecEnv has; the package itself is not needed."""
    if isinstance(env, (type, VectorEnv)) or not hasattr(env, "num_envs"):
        return False
    return all(callable(getattr(env, name, None)) for name in METHODS)


class VecEnvironments(VectorEnv):
    """N environments of a VecEnv, wrappers of it included.

    An episode begins in the step in which the last one ends; its end is a time limit where
    `TimeLimit.truncated` says so, and the state reached is the `terminal_observation`.

    Args:
        envs: closed by its owner.
    """

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}

    def __init__(self, envs: Any) -> None:
        self.envs, self.num_envs = envs, int(envs.num_envs)
        self.single_observation_space = envs.observation_space
        self.single_action_space = envs.action_space
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self.max_episode_steps = _time_limit(envs)

    @property
    def unwrapped(self) -> Any:
        """Its name is that of the user's own object."""
        return self.envs

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        if seed is not None:
            self.envs.seed(seed)
        observations = self.envs.reset()
        return observations, self._together(getattr(self.envs, "reset_infos", []))

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        self.envs.step_async(actions)
        observations, rewards, dones, infos = self.envs.step_wait()
        ended = np.asarray(dones, bool)
        cut = np.array([bool(info.get("TimeLimit.truncated", False)) for info in infos], bool)
        begun = getattr(self.envs, "reset_infos", None) or [{}] * self.num_envs
        seen = [
            {"final_obs": info.get("terminal_observation"), "final_info": _own(info), **first}
            if over
            else _own(info)
            for over, info, first in zip(ended, infos, begun, strict=True)
        ]
        return observations, rewards, ended & ~cut, ended & cut, self._together(seen)

    def close(self, **_: Any) -> None:
        self.envs.close()

    def _together(self, infos: list[dict[str, Any]]) -> dict[str, Any]:
        """Gymnasium's form of the infos: arrays by name."""
        found: dict[str, Any] = {}
        for index, info in enumerate(infos):
            found = self._add_info(found, info, index)
        return found


def _own(info: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in info.items() if name not in ADDED}


def _time_limit(envs: Any) -> int | None:
    """`max_episode_steps` of the environments' registration, where they have one."""
    try:
        return envs.get_attr("spec")[0].max_episode_steps
    except Exception:  # it may be an attribute of nothing, in another process
        return None
