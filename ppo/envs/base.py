"""Interface of the environments: N side by side, reset in the step that ends an episode."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Literal

import gymnasium as gym
import numpy as np

from ppo.core.errors import RunError, UserError
from ppo.core.layout import Layout
from ppo.envs.reports import Reports

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from ppo.core.data import Step

RestoreLevel = Literal["native", "state", "replay", "boundary"]


def episode_seed(run_seed: int, env_index: int, episode_index: int) -> int:
    """The seed of one episode, in [0, 2^32).

    It depends on nothing that happened before, so results do not depend on the backend or on the
    number of workers, and an environment can be restored by playing its episode again.

    Args:
        run_seed: seed of the run, at least 0.
        env_index: index of the environment over all processes, at least 0.
        episode_index: 0 for the first episode of that environment.
    """
    sequence = np.random.SeedSequence([run_seed, env_index, episode_index])
    return int(sequence.generate_state(1)[0])


class Environments(ABC):
    """N environments that start their next episode in the very step that ended the last.

    Attributes:
        num_envs: N.
        observation_space: space of one environment, as the environment gives it, but for entries of
            text, which are left out.
        action_space: space of one environment.
        component_names: names of the K reward components; ("reward",) where there is one.
        max_episode_steps: the time limit, or None.
        truncates: whether an episode may end by a time limit.
        run_seed: seed of all episodes that begin from now on; `reset` begins them all.
        backend: sync, async, vector, torch, or simulator.
        restore_level: the way in which `load_state_dict` restores.
            native, state: the state is part of `state_dict`.
            replay: the running episodes are played again from their seeds.
            boundary: the state cannot be saved. To stay resumable the trainer calls `reset()` at
            every checkpoint, before `state_dict()`, also in a run that is never interrupted.
        events: what happened to the environments, in words; the trainer drains it each batch.
        layout: layout of the row that one observation is encoded as (see ppo/core/layout.py).
        notes: for the user, on the reading of these environments; known from the start.
    """

    num_envs: int
    observation_space: gym.Space
    action_space: gym.Space
    component_names: tuple[str, ...]
    max_episode_steps: int | None
    truncates: bool = True
    run_seed: int
    backend: str
    restore_level: RestoreLevel
    events: list[str]
    notes: list[str]
    layout: Layout

    @functools.cached_property
    def reports(self) -> Reports:
        """What episodes reported at their ends since it was last taken, where that is asked for."""
        return Reports()

    @abstractmethod
    def reset(self) -> Tensor:
        """Starts episode 0 of every environment; observations [N, ...]."""

    @abstractmethod
    def step(self, actions: Tensor) -> Step:
        """One step of every environment.

        Args:
            actions: in the environment's own units: float32 [N, *shape] for Box, int64 [N] for
                Discrete, int64 [N, M] for MultiDiscrete and MultiBinary.

        Raises:
            UserError: the environment breaks the Gymnasium interface.
            EnvironmentFault: the environment failed; the message names it, its step and its seed.
        """

    def state_dict(self) -> dict[str, Tensor]:
        """The full state, to continue bit for bit, as host tensors."""
        return self.mark()()

    @abstractmethod
    def load_state_dict(self, state: dict[str, Tensor]) -> Tensor:
        """Goes back to a saved state; the observations [N, ...] to act on."""

    def _refuse_number(self, saved: int) -> None:
        """
        Raises:
            RunError: a state is of another number of environments.
        """
        if saved != self.num_envs:
            raise RunError(
                f"the saved state has {saved} environments, env.num_envs gives {self.num_envs}; "
                "resume with the number that the run was started with"
            )

    def call(self, method: str, *args: Any) -> list[Any]:
        """Calls a method of each environment between two steps; what each of them gives.

        That is numbers, strings, lists and dicts of them, and None in place of anything else.

        The calls are part of `state_dict`: they are made again, at the same steps, where a state is
        restored.

        Args:
            args: numbers, strings, and lists and dicts of them.

        Raises:
            UserError: these are no single environments, or have no such method.
        """
        raise UserError(
            f"call_envs: {method}: env.backend {self.backend} has no single environments to call; "
            "write env.backend: sync or async"
        )

    @abstractmethod
    def mark(self) -> Callable[[], dict[str, Tensor]]:
        """A function that gives what `state_dict` gives now, also after further steps.

        Made once a batch at next to no cost; it holds until the next one is made.
        """

    @abstractmethod
    def close(self) -> None:
        """Frees the environments' resources; bounded in time, harmless when repeated."""

    def drain_events(self) -> list[str]:
        """The events since the last call."""
        drained, self.events = self.events, []
        return drained

    def __enter__(self) -> Environments:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
