"""Gymnasium environments with seeded episodes and checks, run in a worker or in process.

No torch here. A fault in an environment ends in an error that names it, its step, the seed that
reproduces it and the setting that would let the run go on.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec

from ppo.core.blame import cannot_unpack, described, raised
from ppo.core.errors import EnvironmentFault, UserError
from ppo.envs.base import episode_seed
from ppo.envs.changed import refuse_moved
from ppo.envs.factory import Factory
from ppo.envs.host.checks import shortened
from ppo.envs.host.stacking import FrameStack
from ppo.envs.ids import make_env
from ppo.envs.numbered import filled
from ppo.envs.wrapping import Wrapping, closing, wrapped


class Task(NamedTuple):
    """A slot's settings from the run."""

    kwargs: dict[str, Any]
    run_seed: int
    on_error: str = "stop"  # or restart
    on_nonfinite: str = "stop"  # or reset
    action_masks: str = "auto"  # or never
    frame_stack: int = 1
    offset: int = 0  # first of the numbers that replace `{index}` in kwargs
    report: bool = False  # whether what info holds at the end of an episode is gathered
    precise: tuple[str, ...] | None = ()  # entries with remainders; None: the first reset decides
    wrappers: Sequence[Wrapping] = ()  # around each environment, the innermost first


def make_task_env(spec: EnvSpec | Factory, task: Task, index: int) -> gym.Env:
    """Environment `index`, made for the task."""
    number = task.offset + index
    env = make_env(spec, filled(task.kwargs, number), number)
    env = wrapped(env, task.wrappers, number)
    return env if task.frame_stack == 1 else FrameStack(env, task.frame_stack)


class Probed(NamedTuple):
    """Properties of an environment, found by one reset and, where needed, one step."""

    component_names: Sequence[str]  # none: it gives the reward alone
    mask_source: str  # none, info, method or observation
    precise: Sequence[str] = ()  # entries of observations whose remainders are kept
    notes: Sequence[str] = ()


Spaces = tuple[gym.Space, gym.Space]  # of observations and of actions
Call = tuple[int, str, list[Any]]  # before which step of the running episode, method, arguments


class Slot:
    """One environment, the number of its episode and of its step."""

    def __init__(self, spec: EnvSpec | Factory, task: Task, index: int) -> None:
        self.spec = spec
        self.task = task
        self.run_seed = task.run_seed
        self.index = index  # over all processes
        self.env = make_task_env(spec, task, index)
        self._made_with: Spaces | None = (self.env.observation_space, self.env.action_space)
        self.episode = 0
        self.steps = 0
        self.small_seeds = False  # none of 2^31 or more
        self.failures = 0  # episodes in a row that were cut because of a fault
        self.calls: list[Call] = []  # made so far, for an environment that is built anew

    @property
    def seed(self) -> int:
        seed = episode_seed(self.run_seed, self.index, self.episode)
        return seed % 2**31 if self.small_seeds else seed

    def where(self) -> str:
        """Names the environment and the moment, so that a user can reproduce it."""
        return (
            f"environment {self.index} ({self.spec.id}), step {self.steps} of episode "
            f"{self.episode} (seed {self.seed})"
        )

    def reset(self, episode: int) -> tuple[Any, dict[str, Any]]:
        """Starts an episode from its own seed; observation and info."""
        self.episode, self.steps = episode, 0
        try:
            result = self._reset()
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            if _refuses_arguments(error):
                raise UserError(
                    f"{self.where()}: reset must take seed and options: def reset(self, *, "
                    f"seed=None, options=None); it raised {described(error)}"
                ) from error
            if cannot_unpack(error):
                raise UserError(
                    f"{self.where()}: reset must return (observation, info), and gave a wrapper "
                    f"something else: {error}"
                ) from error
            raise EnvironmentFault(f"{self.where()}: reset {raised(error)}") from error
        if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], dict)):
            raise UserError(
                f"{self.where()}: reset must return (observation, info), got {shortened(result)}"
            )
        if self._made_with:
            refuse_moved(self.spec.id, self._made_with, self.env)
            self._made_with = None  # once is enough
        return result

    def _reset(self) -> Any:
        """A simulator that holds its seed in an int of C gets one of 31 bits."""
        try:
            return self.env.reset(seed=self.seed)
        except (OverflowError, struct.error):
            if self.seed < 2**31:
                raise
            self.small_seeds = True
            return self.env.reset(seed=self.seed)

    def close(self) -> None:
        """Closes the environment and discards it, even after an error."""
        with closing(self.env):
            pass

    def restart(self) -> None:
        """Builds the environment anew after it raised an error."""
        calls = self.calls
        self.begin_anew()
        for _, method, args in calls:
            self.call(method, args)

    def begin_anew(self) -> None:
        """Builds the environment anew, as if nothing had been called."""
        self.close()
        self.env, self.calls = make_task_env(self.spec, self.task, self.index), []

    def method(self, name: str) -> Callable[..., Any]:
        """A method of the environment, or of a wrapper around it.

        Raises:
            UserError: there is none.
        """
        try:
            return self.env.get_wrapper_attr(name)
        except AttributeError:
            raise UserError(
                f"call_envs: {self.spec.id} has no method {name!r}, nor has a wrapper around it"
            ) from None

    def call(self, name: str, args: list[Any]) -> Any:
        """What a method of the environment gives.

        Raises:
            UserError: there is none. EnvironmentFault: it raised an error.
        """
        try:
            found = self.method(name)(*args)
        except UserError:
            raise
        except (Exception, SystemExit) as error:
            raise EnvironmentFault(f"{self.where()}: {name} {raised(error)}") from error
        self.calls.append((0, name, args))
        return found


def _refuses_arguments(error: BaseException) -> bool:
    said = str(error)
    named = "'seed'" in said or "'options'" in said
    return isinstance(error, TypeError) and "reset()" in said and named
