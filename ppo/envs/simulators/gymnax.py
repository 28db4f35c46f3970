"""The environments of gymnax (Lange 2022), version 1 or later.

`env.id: ppo.envs.simulators.gymnax:Gymnax` with `env.kwargs: {env_id: CartPole-v1}`.
"""

from __future__ import annotations

from typing import Any

import gymnax
import jax
from gymnax.environments.spaces import gymnax_space_to_gym_space

from ppo.envs.simulators.jax_tensors import JaxSimulator, Moved


class Gymnax(JaxSimulator):
    """N environments of a gymnax id.

    Args:
        env_id: such as `CartPole-v1`.
        num_envs: N.
        kwargs: of `gymnax.make`; those that are parameters replace the default ones.
    """

    def __init__(self, env_id: str, num_envs: int, **kwargs: Any) -> None:
        _, params = gymnax.make(env_id)
        changes = {name: kwargs.pop(name) for name in list(kwargs) if hasattr(params, name)}
        self.env, _ = gymnax.make(env_id, **kwargs)
        self.params = params.replace(**changes)
        self.max_episode_steps = self.params.max_steps_in_episode
        spaces = (self.env.observation_space(self.params), self.env.action_space(self.params))
        super().__init__(num_envs, *map(gymnax_space_to_gym_space, spaces))

    def initial(self, key: jax.Array) -> tuple[Any, Any]:
        keys = jax.random.split(key, self.num_envs)
        obs, state = jax.vmap(self.env.reset, (0, None))(keys, self.params)
        return state, obs

    def advance(self, key: jax.Array, state: Any, actions: jax.Array) -> Moved:
        keys = jax.random.split(key, self.num_envs)
        found = jax.vmap(self.env.step, (0, 0, 0, None))(keys, state, actions, self.params)
        obs, state, rewards, terminated, truncated, info = found
        return Moved(state, obs, rewards, terminated, truncated, info["final_observation"])
