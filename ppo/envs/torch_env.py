"""Environments as pure functions on tensors, and one adapter that steps N of them at once.

`advance` is pure, never waits for the device and compiles as one graph, so a rollout can be
compiled with the environment inside. Randomness is counted, not carried: the start of an episode
is a hash of (run seed, environment, episode, draw).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

import gymnasium as gym
import torch
from torch import Tensor

from ppo.core.data import Step
from ppo.core.layout import Layout
from ppo.core.randomness import uniforms
from ppo.envs.base import Environments


class TorchEnvironment(ABC):
    """One kind of environment; every method is a pure function of tensors, for N of them.

    The state [N, S] is float32 and explicit: two calls with equal arguments give equal results.

    Attributes:
        observation_space, action_space: spaces of one environment.
        component_names: names of the K reward components.
        max_episode_steps: the time limit; None where episodes end by themselves.
        num_uniforms: R, random numbers that the start of an episode takes.
        fixed_length: steps of every episode where it is always the same, else None. Then resets
            cost nothing in the steps between.
    """

    observation_space: gym.Space
    action_space: gym.Space
    component_names: tuple[str, ...] = ("reward",)
    max_episode_steps: int | None = None
    num_uniforms: int
    fixed_length: int | None = None

    @abstractmethod
    def initial(self, uniforms: Tensor) -> Tensor:
        """State [N, S] at the start of an episode from uniforms [N, R] in [0, 1)."""

    @abstractmethod
    def dynamics(self, state: Tensor, actions: Tensor) -> Tensor:
        """The next state [N, S]; differentiable where the environment is."""

    @abstractmethod
    def observe(self, state: Tensor) -> Tensor:
        """Observations [N, D] of states [N, S]."""

    @abstractmethod
    def rewards(self, state: Tensor, actions: Tensor, next_state: Tensor, ends: Tensor) -> Tensor:
        """Rewards [N, K] of the step; `ends` [N] bool where it is the episode's last."""

    def terminal(self, next_state: Tensor) -> Tensor:
        """[N] bool: the episode ends because of the state reached. By default never."""
        return torch.zeros(next_state.shape[0], dtype=torch.bool, device=next_state.device)

    def state_of(self, obs: Tensor) -> Tensor | None:
        """States [N, S] of observations [N, D]; None if these do not determine the state."""
        return None

    def success(self, next_state: Tensor) -> Tensor | None:
        """[N] bool: what the episode was for is achieved, read where it ends; None: no such."""
        return None


class Carry(NamedTuple):
    """Where N environments are."""

    state: Tensor  # [N, S] float32
    steps: Tensor  # [N] int64, taken in the running episode
    episodes: Tensor  # [N] int64, index of the running episode


def start(
    env: TorchEnvironment, env_ids: Tensor, episodes: Tensor, run_seed: Tensor | int
) -> Carry:
    """The beginning of the given episodes [N]."""
    state = env.initial(uniforms(run_seed, env_ids, episodes, env.num_uniforms))
    return Carry(state, torch.zeros_like(episodes), episodes)


def _move(
    env: TorchEnvironment, carry: Carry, actions: Tensor, may_end: bool
) -> tuple[Carry, Step]:
    """A step before anything is reset."""
    state = env.dynamics(carry.state, actions)
    steps = carry.steps + 1
    if may_end:
        terminated = env.terminal(state)
        limit = env.max_episode_steps
        truncated = torch.zeros_like(terminated) if limit is None else steps >= limit
        ended = terminated | truncated
        achieved = env.success(state)
    else:
        terminated = truncated = ended = torch.zeros_like(steps, dtype=torch.bool)
        achieved = None
    rewards = env.rewards(carry.state, actions, state, ended)
    success = torch.full_like(rewards[:, 0], torch.nan)
    if achieved is not None:
        success = torch.where(ended, achieved.to(success.dtype), success)
    obs, valid = env.observe(state), torch.ones_like(terminated)
    step = Step(obs, rewards, terminated, truncated, obs, success, valid)
    return Carry(state, steps, carry.episodes), step


def _restart(
    env: TorchEnvironment, carry: Carry, step: Step, env_ids: Tensor, run_seed: Tensor | int
) -> tuple[Carry, Step]:
    """The next episode begins where one ended."""
    ended = step.terminated | step.truncated
    fresh = start(env, env_ids, carry.episodes + ended, run_seed)
    state = torch.where(ended[:, None], fresh.state, carry.state)
    obs = torch.where(ended[:, None], env.observe(fresh.state), step.obs)
    after = Carry(state, torch.where(ended, fresh.steps, carry.steps), fresh.episodes)
    return after, Step(obs, *step[1:])


def advance(
    env: TorchEnvironment,
    carry: Carry,
    actions: Tensor,
    env_ids: Tensor,
    run_seed: Tensor | int,
    may_end: bool = True,
) -> tuple[Carry, Step]:
    """One step of N environments, and the start of the next episode where one ended.

    Pure, without a wait for the device; compiles with fullgraph=True.

    Args:
        env: the kind of environment.
        carry: where they are.
        actions: in the environment's units, [N, *shape] float32 or [N] int64.
        env_ids: [N] int64, index over all processes.
        run_seed: int64; give a tensor of no axes to a compiled function, so that another seed
            does not compile it anew.
        may_end: False promises that no episode ends in this step (see
            `TorchEnvironments.may_end`) and saves the work of a reset.

    Returns:
        Where they are now, and what the step gave.
    """
    carry, step = _move(env, carry, actions, may_end)
    return _restart(env, carry, step, env_ids, run_seed) if may_end else (carry, step)


class TorchEnvironments(Environments):
    """N environments of one kind on a device.

    Attributes:
        env: the pure functions.
        carry: where they are, from `reset` on; a compiled rollout may call `advance` itself and
            gives the carry back to `adopt`, which keeps count of when episodes end.
        env_ids: [N] int64 on the device.
        seed: run_seed as int64 on the device, no axes.
    """

    backend = "torch"
    restore_level = "native"
    carry: Carry

    def __init__(
        self,
        env: TorchEnvironment,
        num_envs: int,
        run_seed: int,
        device: torch.device | str,
        first_index: int = 0,
    ) -> None:
        self.env = env
        self.device = torch.device(device)
        self.num_envs = num_envs
        self.run_seed = run_seed
        self.observation_space = env.observation_space
        self.action_space = env.action_space
        self.component_names = env.component_names
        self.max_episode_steps = env.max_episode_steps or env.fixed_length
        self.layout = Layout(math.prod(env.observation_space.shape or ()))
        self.events: list[str] = []
        self.notes: list[str] = []
        self.env_ids = torch.arange(first_index, first_index + num_envs, device=self.device)
        self.truncates = env.max_episode_steps is not None
        self._clock: int | None = None  # steps of all running episodes, where they go in step

    @property
    def run_seed(self) -> int:  # type: ignore[override]
        """Of all episodes that begin from now on."""
        return self._run_seed

    @run_seed.setter
    def run_seed(self, value: int) -> None:
        self._run_seed = value
        self.seed = torch.tensor(value, dtype=torch.int64, device=self.device)

    def may_end(self, ahead: int = 0) -> bool:
        """Whether an episode may end in the step after the next `ahead` ones; known on the host."""
        if self.env.fixed_length is None or self._clock is None:
            return True
        return (self._clock + ahead + 1) % self.env.fixed_length == 0

    def reset(self) -> Tensor:
        episodes = torch.zeros_like(self.env_ids)
        self.carry = start(self.env, self.env_ids, episodes, self.seed)
        self._clock = 0
        return self.env.observe(self.carry.state)

    @torch.no_grad()
    def step(self, actions: Tensor) -> Step:
        carry, step = _move(self.env, self.carry, actions, self.may_end())
        if self._some_ended(step):
            carry, step = _restart(self.env, carry, step, self.env_ids, self.seed)
        self.adopt(carry, 1)
        return step

    def _some_ended(self, step: Step) -> bool:
        """On the host it is cheap to look; on a device looking would mean waiting."""
        if self.device.type != "cpu" or not self.may_end():
            return self.may_end()
        return bool((step.terminated | step.truncated).any())

    def adopt(self, carry: Carry, num_steps: int) -> None:
        """Takes over where `num_steps` calls of `advance` have led."""
        self.carry = carry
        if self._clock is not None:
            self._clock += num_steps

    def mark(self) -> Callable[[], dict[str, Tensor]]:
        """state [N, S], steps [N], episodes [N]."""
        carry = Carry(*(value.detach().clone() for value in self.carry))
        return lambda: {name: value.cpu() for name, value in carry._asdict().items()}

    def load_state_dict(self, state: dict[str, Tensor]) -> Tensor:
        self._refuse_number(len(state["steps"]))
        fields = {name: state[name].to(self.device, copy=True) for name in Carry._fields}
        self.carry = Carry(**fields)
        steps = state["steps"].unique()
        self._clock = int(steps) if len(steps) == 1 else None
        return self.env.observe(self.carry.state)

    def close(self) -> None:
        """Nothing to free."""
