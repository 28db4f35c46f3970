"""Simulators that are pure functions of JAX, compiled.

On a device tensors pass by DLPack, without a copy; on the host as numpy's arrays, which takes half
the time where there are few environments.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import gymnasium as gym
import jax
import numpy as np
import torch
from torch import Tensor


class Moved(NamedTuple):
    """What a step of N environments gives, those that ended begun anew."""

    state: Any
    obs: Any
    rewards: jax.Array  # [N]
    terminated: jax.Array  # [N] bool
    truncated: jax.Array  # [N] bool
    final_obs: Any


class JaxSimulator(ABC):
    """N environments as a `TorchVectorEnv`, on the device that JAX uses by default.

    All that is random follows from the seed and the number of the step. Two methods give the
    environment, both pure, with a leading axis of N in every array.
    """

    def __init__(
        self, num_envs: int, observation_space: gym.Space, action_space: gym.Space
    ) -> None:
        self.num_envs = num_envs
        self.single_observation_space = observation_space
        self.single_action_space = action_space
        kind = jax.devices()[0].platform
        self.device = torch.device("cuda" if kind in ("gpu", "cuda") else "cpu")
        self._on_host = self.device.type == "cpu"
        self._initial = jax.jit(lambda seed: self.initial(jax.random.PRNGKey(seed)))
        self._advance = jax.jit(self._step)
        self._carry: Any = None  # seed, number of the step, state

    @abstractmethod
    def initial(self, key: jax.Array) -> tuple[Any, Any]:
        """State and observations at the start of an episode."""

    @abstractmethod
    def advance(self, key: jax.Array, state: Any, actions: jax.Array) -> Moved:
        """One step, and the start of the next episode where one ended."""

    def _step(self, seed: jax.Array, count: jax.Array, state: Any, actions: jax.Array) -> Any:
        key = jax.random.fold_in(jax.random.PRNGKey(seed), count + 1)
        moved = self.advance(key, state, actions)
        return (seed, count + 1, moved.state), moved._replace(state=None)

    def reset(self, seed: int | None = None) -> tuple[Any, dict[str, Any]]:
        seed_array = np.uint32(0 if seed is None else seed)
        state, obs = self._initial(seed_array)
        self._carry = seed_array, np.uint32(0), state
        return self._to_torch(obs), {}

    def step(self, actions: Tensor) -> tuple[Any, Tensor, Tensor, Tensor, dict[str, Any]]:
        if actions.dtype == torch.int64:
            actions = actions.int()  # JAX has 32 bits unless it is told otherwise
        given = actions.numpy() if self._on_host else jax.dlpack.from_dlpack(actions)
        self._carry, moved = self._advance(*self._carry, given)
        found = (moved.obs, moved.rewards, moved.terminated, moved.truncated, moved.final_obs)
        obs, rewards, terminated, truncated, final_obs = map(self._to_torch, found)
        return obs, rewards, terminated, truncated, {"final_obs": final_obs}

    def _to_torch(self, tree: Any) -> Any:
        """An array, or a dict of arrays, as tensors."""
        if isinstance(tree, dict):
            return {name: self._to_torch(part) for name, part in tree.items()}
        return torch.from_numpy(np.array(tree)) if self._on_host else torch.from_dlpack(tree)

    def state_dict(self) -> dict[str, Any]:
        """Each array as its bytes, of whatever type it is."""
        arrays = [np.asarray(leaf) for leaf in jax.tree.leaves(self._carry)]
        return {"arrays": [np.frombuffer(array.tobytes(), np.uint8) for array in arrays]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.reset(0)  # for the types and the shapes
        leaves, form = jax.tree.flatten(self._carry)
        restored = [
            np.frombuffer(saved.tobytes(), np.asarray(leaf).dtype).reshape(np.shape(leaf))
            for saved, leaf in zip(state["arrays"], leaves, strict=True)
        ]
        self._carry = jax.tree.unflatten(form, [jax.numpy.asarray(array) for array in restored])


def where_ended(ended: jax.Array, fresh: Any, reached: Any) -> Any:
    """`fresh` where `ended` [N], else `reached`, in every array with an axis of N."""

    def choose(new: jax.Array, old: jax.Array) -> jax.Array:
        if not old.shape or old.shape[0] != ended.shape[0]:
            return old
        return jax.numpy.where(ended.reshape(-1, *(1 for _ in old.shape[1:])), new, old)

    return jax.tree.map(choose, fresh, reached)
