"""Making vector environments: Gymnasium's own forms, those of ale-py, and given ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils import seeding
from gymnasium.vector import VectorEnv
from torch import Tensor

from ppo.core.blame import described
from ppo.core.data import Step
from ppo.core.errors import UserError
from ppo.envs.base import Environments, RestoreLevel, episode_seed
from ppo.envs.host.slot import Task
from ppo.envs.vector import VectorEnvironments

ATARI = "ale_py.vector_env:AtariVectorEnv"
CARTPOLE = "gymnasium.envs.classic_control.cartpole:CartPoleVectorEnv"


def is_exact(spec: EnvSpec) -> bool:
    """Whether the vectorized form of `spec` gives the very bits of its single form."""
    return spec.vector_entry_point == CARTPOLE and cosine_is_the_same_for_arrays()


def cosine_is_the_same_for_arrays() -> bool:
    """Whether numpy's sin and cos give an entry of an array the bits they give it alone.

    Numpy promises nothing here, and its choice of instructions depends on the machine.
    """
    angles = np.linspace(-0.5, 0.5, 67)
    return all(
        function(angles).tolist() == [float(function(angle)) for angle in angles]
        for function in (np.cos, np.sin)
    )


def make_vector(spec: EnvSpec, task: Task, num_envs: int, first_index: int) -> Environments:
    """Environments of the vectorized form of `spec`.

    Raises:
        UserError: it has none, or its constructor refuses the arguments or makes another number.
    """
    kwargs = _arguments(spec, task)
    try:
        envs = gym.make_vec(spec, num_envs, vectorization_mode="vector_entry_point", **kwargs)
    except (Exception, SystemExit) as error:
        raise UserError(
            f"env.backend: vector: {spec.id} cannot be made with env.kwargs {task.kwargs}: "
            f"{described(error)}"
        ) from error
    if envs.num_envs != num_envs:
        raise UserError(
            f"env.backend: vector: {spec.id} was asked for {num_envs} environments (env.num_envs) "
            f"and made {envs.num_envs}"
        )
    if isinstance(envs.unwrapped, CartPoleVectorEnv):
        return CartPoleVector(envs, spec.id, task, first_index)
    kind = AtariVector if spec.vector_entry_point == ATARI else VectorEnvironments
    return kind(envs, spec.id, task, first_index)


def is_open(envs: VectorEnv) -> bool:
    """Whether the state of a vector environment can be read and written."""
    return type(envs) is CartPoleVectorEnv and cosine_is_the_same_for_arrays()


def wrap_vector(
    envs: VectorEnv, env_id: str, task: Task, first_index: int, closes: bool
) -> Environments:
    """Environments of a vector environment that exists.

    Args:
        closes: whether `close` closes it.

    Raises:
        UserError: observations are to be stacked.
    """
    if task.frame_stack > 1:
        raise UserError(
            f"env.frame_stack: {task.frame_stack}: {env_id} cannot stack observations; wrap it in "
            "gymnasium.wrappers.vector, or write env.frame_stack 1"
        )
    kind = CartPoleVector if is_open(envs) else VectorEnvironments
    return kind(envs, env_id, task, first_index, closes)


def _arguments(spec: EnvSpec, task: Task) -> dict[str, Any]:
    """What the constructor is given.

    Raises:
        UserError: frames are to be stacked, and only Atari's vectorized form does that itself.
    """
    stacks = task.frame_stack > 1
    if spec.vector_entry_point == ATARI:
        stacking = {"stack_num": task.frame_stack} if stacks else {}
        # No step is lost to a reset then, and the state reached is known.
        return {"autoreset_mode": "SameStep", **stacking, **task.kwargs}
    if stacks:
        raise UserError(
            f"env.backend: vector: {spec.id} cannot stack observations there; write "
            "env.frame_stack 1, or env.backend sync"
        )
    return task.kwargs


class AtariVector(VectorEnvironments):
    """The games of ale-py in its own threads, with the preprocessing that the field uses.

    By default frames are gray, 84 x 84, of every fourth the larger of two, and four of them stacked
    (Mnih et al. 2015, methods; Machado et al. 2018, arXiv 1709.06009).
    """

    def _seed_of(self, reset: int) -> int:
        # ALE counts seeds up from here in 32 bits with a sign.
        return super()._seed_of(reset) % (2**31 - 1 - self.num_envs)


class CartPoleVector(VectorEnvironments):
    """CartPole, all at once, with the episodes of `sync` to the last bit.

    Its own next-step reset never happens: an episode that ended is started again in the same step
    from the state that `CartPoleEnv.reset(seed=...)` would draw.
    """

    restore_level: RestoreLevel = "state"

    def reset(self) -> Tensor:
        self.env.reset(seed=0)
        self._seed = self.run_seed
        self._episodes = np.zeros(self.num_envs, np.int64)
        self._start(np.arange(self.num_envs))
        return torch.from_numpy(self._observe())

    @property
    def _cartpole(self) -> Any:
        return self.env.unwrapped

    def _observe(self) -> np.ndarray:
        return np.ascontiguousarray(self._cartpole.state.T, np.float32)

    def _start(self, which: np.ndarray) -> None:
        """Starts the running episode of these environments."""
        cartpole = self._cartpole
        for env in which.tolist():
            seed = episode_seed(self._seed, self.first_index + env, int(self._episodes[env]))
            generator, _ = seeding.np_random(seed)
            cartpole.state[:, env] = generator.uniform(cartpole.low, cartpole.high, (4,))
        cartpole.steps[which] = 0
        cartpole.prev_done[which] = False

    def step(self, actions: Tensor) -> Step:
        taken = actions.detach().cpu().numpy().astype(np.int64)
        final, rewards, terminated, truncated, _ = self._cartpole.step(taken)
        reached, column = torch.from_numpy(final).contiguous(), torch.from_numpy(rewards)[:, None]
        which = np.flatnonzero(terminated | truncated)
        if not which.size:
            return self._uneventful(reached, column)
        self._episodes[which] += 1
        self._start(which)
        obs, (_, unknown, valid) = reached.clone(), self._nothing
        obs[which] = torch.from_numpy(self._observe()[which])
        return Step(
            obs=obs,
            rewards=column,
            terminated=torch.from_numpy(terminated),
            truncated=torch.from_numpy(truncated),
            final_obs=reached,
            success=unknown,
            valid=valid,
        )

    def mark(self) -> Callable[[], dict[str, Tensor]]:
        """state [4, N] float64, steps [N], episodes [N]."""
        arrays = {
            "state": self._cartpole.state.copy(),
            "steps": self._cartpole.steps.copy(),
            "episodes": self._episodes.copy(),
        }
        return lambda: {name: torch.from_numpy(array) for name, array in arrays.items()}

    def load_state_dict(self, state: dict[str, Tensor]) -> Tensor:
        self._refuse_number(len(state["episodes"]))
        self.reset()
        self._cartpole.state = state["state"].numpy().copy()
        self._cartpole.steps[:] = state["steps"].numpy()
        self._episodes = state["episodes"].numpy().copy()
        return torch.from_numpy(self._observe())
