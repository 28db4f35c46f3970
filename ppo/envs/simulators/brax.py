"""The environments of Brax (Freeman et al. 2021).

`env.id: ppo.envs.simulators.brax:Brax` with `env.kwargs: {env_id: ant}`.

As Brax's own training does it, an environment starts every episode from the state that its first
reset drew: drawing another one would cost as much as many steps.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import jax
import numpy as np
from brax import envs
from brax.envs.wrappers.training import EpisodeWrapper, VmapWrapper
from jax import numpy as jnp

from ppo.envs.simulators.jax_tensors import JaxSimulator, Moved, where_ended


class Brax(JaxSimulator):
    """N environments of a Brax id.

    A library of the same form overrides `load`, and `physics`, the field of a state that holds it.

    Args:
        env_id: such as `ant`.
        num_envs: N.
        episode_length: the time limit, in steps of the policy times `action_repeat`.
        action_repeat: steps of the environment in which one action is taken.
        kwargs: of the environment, such as `backend: spring`.
    """

    physics = "pipeline_state"

    def load(self, env_id: str, **kwargs: Any) -> Any:
        return envs.get_environment(env_id, **kwargs)

    def action_space(self, env: Any) -> gym.spaces.Box:
        bounds = np.asarray(env.sys.actuator.ctrl_range, np.float32)
        return gym.spaces.Box(bounds[:, 0], bounds[:, 1])

    def __init__(
        self,
        env_id: str,
        num_envs: int,
        episode_length: int = 1000,
        action_repeat: int = 1,
        **kwargs: Any,
    ) -> None:
        env = self.load(env_id, **kwargs)
        self.env = EpisodeWrapper(VmapWrapper(env), episode_length, action_repeat)
        self.max_episode_steps = episode_length // action_repeat
        size = env.observation_size
        sizes = size if isinstance(size, dict) else {"": size}
        shapes = {name: tuple(np.atleast_1d(n).tolist()) for name, n in sizes.items()}
        boxes: dict[str, gym.Space] = {
            name: gym.spaces.Box(-np.inf, np.inf, shape) for name, shape in shapes.items()
        }
        super().__init__(
            num_envs,
            gym.spaces.Dict(boxes) if isinstance(size, dict) else boxes[""],
            self.action_space(env),
        )

    def initial(self, key: jax.Array) -> tuple[Any, Any]:
        state = self.env.reset(jax.random.split(key, self.num_envs))
        return (state, getattr(state, self.physics), state.obs), state.obs

    def advance(self, key: jax.Array, state: Any, actions: jax.Array) -> Moved:
        before, first_state, first_obs = state
        steps = jnp.where(before.done > 0, 0, before.info["steps"])
        before = before.replace(
            done=jnp.zeros_like(before.done), info=before.info | {"steps": steps}
        )
        after = self.env.step(before, actions)
        ended, truncated = after.done > 0, after.info["truncation"] > 0
        reached = (getattr(after, self.physics), after.obs)
        physics, obs = where_ended(ended, (first_state, first_obs), reached)
        begun = after.replace(**{self.physics: physics, "obs": obs}), first_state, first_obs
        return Moved(begun, obs, after.reward, ended & ~truncated, truncated, after.obs)
