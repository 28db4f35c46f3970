"""Gymnasium's own vectorized environments.

CartPole's gives exactly the data of `sync`, because its state is open: each episode is seeded here
as Gymnasium seeds a single environment. Any other keeps its own random numbers and its own way of
starting again, so a run can be resumed at a reset only.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from torch import Tensor

from ppo.data import Step
from ppo.envs.base import Environments, RestoreLevel, episode_seed
from ppo.envs.observations import ActionDecoder, ObservationEncoder
from ppo.envs.slot import Task
from ppo.errors import EnvironmentFault, RunError, UserError

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


def make_vector(spec: EnvSpec, task: Task, num_envs: int, first_index: int = 0) -> Environments:
    """Environments of the vectorized form of `spec`.

    Raises:
        UserError: it has none, or its constructor refuses the arguments.
    """
    try:
        envs = gym.make_vec(spec, num_envs, vectorization_mode="vector_entry_point", **task.kwargs)
    except (TypeError, ImportError, gym.error.Error) as error:
        raise UserError(
            f"env.backend: vector: {spec.id} cannot be made with env.kwargs {task.kwargs}: {error}"
        ) from error
    kind = CartPoleVector if isinstance(envs.unwrapped, CartPoleVectorEnv) else VectorEnvironments
    return kind(envs, spec.id, task, first_index)


class VectorEnvironments(Environments):
    """Any `gymnasium.vector.VectorEnv`.

    Next-step autoreset: the step after an episode's end is no step of the task; it is given with
    valid = False. Same-step autoreset: the state reached is taken from infos["final_obs"].

    Raises:
        UserError: autoreset is disabled in it.
    """

    backend = "vector"
    restore_level: RestoreLevel = "boundary"

    def __init__(self, envs: VectorEnv, env_id: str, task: Task, first_index: int) -> None:
        self.envs = envs
        self.env_id = env_id
        self.num_envs = envs.num_envs
        self.run_seed = task.run_seed
        self.first_index = first_index
        self.observation_space = envs.single_observation_space
        self.action_space = envs.single_action_space
        self.component_names = ("reward",)
        self.max_episode_steps = envs.spec.max_episode_steps if envs.spec else None
        self.encoder = ObservationEncoder(self.observation_space, env_id)
        self.decoder = ActionDecoder(self.action_space, env_id)
        self.observation_shape = self.encoder.shape
        self.events = []
        self.notes = []
        self._resets = 0
        self._reset_seed = self.run_seed
        self._moved = False  # since the last reset
        self._ended = np.zeros(self.num_envs, bool)
        self._mode = envs.metadata.get("autoreset_mode", AutoresetMode.NEXT_STEP)
        if self._mode == AutoresetMode.DISABLED:
            raise UserError(
                f"env.backend: vector: {env_id} does not start episodes by itself (its "
                "autoreset_mode is disabled); make it with next-step or same-step autoreset"
            )

    def reset(self) -> Tensor:
        """Starts every environment; each call begins other episodes."""
        if self.run_seed != self._reset_seed:
            self._resets, self._reset_seed = 0, self.run_seed
        seed = episode_seed(self.run_seed, self.first_index, self._resets)
        self._resets += 1
        observations, _ = self.envs.reset(seed=seed)
        self._ended[:] = False
        self._moved = False
        return torch.from_numpy(self._encode(observations))

    def step(self, actions: Tensor) -> Step:
        taken = actions.detach().cpu().numpy().astype(self.envs.action_space.dtype)
        self._moved = True
        observations, rewards, terminated, truncated, infos = self.envs.step(taken)
        encoded = self._encode(observations)
        ended = np.asarray(terminated | truncated)
        final = encoded
        valid = ~self._ended
        if self._mode == AutoresetMode.SAME_STEP and ended.any():
            final = encoded.copy()
            for env in np.flatnonzero(ended).tolist():
                final[env] = self.encoder.encode(_entry(infos, "final_obs", env))
        if self._mode == AutoresetMode.NEXT_STEP:
            self._ended = ended
        rewards = np.where(valid, rewards, 0).astype(np.float32)
        self._check(final, rewards)
        return Step(
            obs=torch.from_numpy(encoded),
            rewards=torch.from_numpy(rewards)[:, None],
            terminated=torch.from_numpy(np.array(terminated, bool)),
            truncated=torch.from_numpy(np.array(truncated, bool)),
            final_obs=torch.from_numpy(final),
            success=torch.from_numpy(self._success(infos, ended)),
            valid=torch.from_numpy(valid),
        )

    def _encode(self, observations: Any) -> np.ndarray:
        """[N, ...] of our own memory."""
        if self.encoder.is_box:
            array = np.asarray(observations).astype(self.encoder.dtype)
            return array.reshape(self.num_envs, *self.encoder.shape)
        rows = gym.vector.utils.iterate(self.envs.observation_space, observations)
        return np.stack([self.encoder.encode(row) for row in rows])

    def _check(self, reached: np.ndarray, rewards: np.ndarray) -> None:
        if np.isfinite(rewards).all() and (self.encoder.is_image or np.isfinite(reached).all()):
            return
        flat = reached.reshape(self.num_envs, -1)
        fine = np.isfinite(rewards) & np.isfinite(flat).all(axis=1)
        env = int(np.flatnonzero(~fine)[0])
        raise EnvironmentFault(
            f"environment {self.first_index + env} ({self.env_id}): the observation or the reward "
            f"is not finite: {flat[env].tolist()}, {rewards[env]}; with env.backend: sync "
            "env.on_nonfinite: reset would cut such an episode"
        )

    def _success(self, infos: dict[str, Any], ended: np.ndarray) -> np.ndarray:
        success = np.full(self.num_envs, np.nan, np.float32)
        same_step = self._mode == AutoresetMode.SAME_STEP
        said = infos.get("final_info", {}) if same_step else infos
        if "is_success" in said:
            known = ended & np.asarray(said.get("_is_success", True))
            success[known] = np.asarray(said["is_success"], np.float32)[known]
        return success

    def state_dict(self) -> dict[str, Tensor]:
        """How often `reset` was called; `load_state_dict` repeats the last one.

        Between resets it is the next one: where the episodes are now cannot be found again.
        """
        return {"resets": torch.tensor(self._resets + self._moved)}

    def load_state_dict(self, state: dict[str, Tensor]) -> Tensor:
        self._resets = int(state["resets"]) - 1
        return self.reset()

    def close(self) -> None:
        self.envs.close()


def _entry(infos: dict[str, Any], key: str, env: int) -> Any:
    """What `infos[key]` holds of one environment; it may be batched as a dict of arrays."""
    found = infos[key]
    return {k: v[env] for k, v in found.items()} if isinstance(found, dict) else found[env]


class CartPoleVector(VectorEnvironments):
    """CartPole, all at once, with the episodes of `sync` to the last bit.

    Its own next-step reset never happens: an episode that ended is started again in the same step
    from the state that `CartPoleEnv.reset(seed=...)` would draw.
    """

    restore_level: RestoreLevel = "state"

    def reset(self) -> Tensor:
        self.envs.reset(seed=0)
        self._seed = self.run_seed
        self._episodes = np.zeros(self.num_envs, np.int64)
        self._start(np.arange(self.num_envs))
        return torch.from_numpy(self._observe())

    @property
    def _cartpole(self) -> Any:
        return self.envs.unwrapped

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
        final = np.ascontiguousarray(final)
        obs, ended = final, terminated | truncated
        if ended.any():
            which = np.flatnonzero(ended)
            self._episodes[which] += 1
            self._start(which)
            obs = final.copy()
            obs[which] = self._cartpole.state[:, which].T
        return Step(
            obs=torch.from_numpy(obs),
            rewards=torch.from_numpy(rewards)[:, None],
            terminated=torch.from_numpy(terminated),
            truncated=torch.from_numpy(truncated),
            final_obs=torch.from_numpy(final),
            success=torch.full((self.num_envs,), torch.nan),
            valid=torch.ones(self.num_envs, dtype=torch.bool),
        )

    def state_dict(self) -> dict[str, Tensor]:
        """state [4, N] float64, steps [N], episodes [N]."""
        arrays = {
            "state": self._cartpole.state,
            "steps": self._cartpole.steps,
            "episodes": self._episodes,
        }
        return {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}

    def load_state_dict(self, state: dict[str, Tensor]) -> Tensor:
        saved = len(state["episodes"])
        if saved != self.num_envs:
            raise RunError(
                f"the saved state has {saved} environments, env.num_envs gives {self.num_envs}; "
                "resume with the number that the run was started with"
            )
        self.reset()
        self._cartpole.state = state["state"].numpy().copy()
        self._cartpole.steps[:] = state["steps"].numpy()
        self._episodes = state["episodes"].numpy().copy()
        return torch.from_numpy(self._observe())
