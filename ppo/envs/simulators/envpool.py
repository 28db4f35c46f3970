"""The environments of EnvPool (Weng et al. 2022), stepped by threads of C++.

`env.id: ppo.envs.simulators.envpool:EnvPool` with `env.kwargs: {env_id: HalfCheetah-v4}`.
"""

from __future__ import annotations

from typing import Any

import envpool
from gymnasium.vector import AutoresetMode, VectorEnv


class EnvPool(VectorEnv):
    """N environments of an EnvPool id.

    Its seeds are fixed when it is made, so a reset with a seed makes another one.

    Args:
        env_id: such as `HalfCheetah-v4`.
        num_envs: N.
        kwargs: of `envpool.make_gymnasium`, such as `num_threads`.
    """

    metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}

    def __init__(self, env_id: str, num_envs: int, **kwargs: Any) -> None:
        self.env_id, self.num_envs, self.kwargs = env_id, num_envs, kwargs
        self.pool = self._make(0)
        self.single_observation_space = self.pool.single_observation_space
        self.single_action_space = self.pool.single_action_space
        self.observation_space = self.pool.observation_space
        self.action_space = self.pool.action_space
        self.max_episode_steps = self.pool.spec.config.max_episode_steps

    def _make(self, seed: int) -> Any:
        return envpool.make_gymnasium(self.env_id, num_envs=self.num_envs, seed=seed, **self.kwargs)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        if seed is not None:
            self.pool.close()
            self.pool = self._make(seed % 2**31)
        return self.pool.reset()

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        return self.pool.step(actions)

    def close(self, **_: Any) -> None:
        self.pool.close()
