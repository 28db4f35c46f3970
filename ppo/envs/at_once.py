"""Environments that one object steps all at once, whatever it speaks: arrays or tensors.

Such an object keeps its own random numbers. It is seeded by the number of a reset, and, unless it
can save its state, found again at a reset only.
"""

from __future__ import annotations

import contextlib
import functools
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor

from ppo.core.blame import described, raised
from ppo.core.data import Step
from ppo.core.errors import EnvironmentFault, UserError
from ppo.envs.base import Environments, RestoreLevel, episode_seed
from ppo.envs.host.checks import shortened
from ppo.envs.host.slot import Task
from ppo.envs.ids import check_spaces

REACHED = ("final_obs", "final_observation")  # the second is Gymnasium's name before 1.0


class AtOnce(Environments):
    """N environments of one object.

    Args:
        env: the object, with `reset(seed=...)` and `step(actions)`.
        env_id: its name for messages.
        first_index: of its first environment over all processes.
        closes: whether `close` closes it.
    """

    place: str  # what a message about it begins with
    returns: ClassVar[dict[str, str]]  # what each method must return
    restore_level: RestoreLevel = "boundary"
    device = torch.device("cpu")

    def __init__(self, env: Any, env_id: str, task: Task, first_index: int, closes: bool) -> None:
        self.env, self.env_id, self.first_index, self.closes = env, env_id, first_index, closes
        self.num_envs, self.run_seed = int(env.num_envs), task.run_seed
        if self.num_envs < 1:
            raise UserError(f"env.id: {env_id}: its num_envs is {self.num_envs}, not 1 or more")
        check_spaces(env, env_id, ("single_observation_space", "single_action_space"))
        self.observation_space = env.single_observation_space
        self.action_space = env.single_action_space
        self.events, self.notes = [], []
        self._report = task.report
        self._moved = False  # since the last reset

    @functools.cached_property
    def _nothing(self) -> tuple[Tensor, Tensor, Tensor]:
        """terminated or truncated, success and valid [N] where no episode ends."""
        valid = torch.ones(self.num_envs, dtype=torch.bool, device=self.device)
        return ~valid, torch.full((self.num_envs,), torch.nan, device=self.device), valid

    def _uneventful(self, obs: Tensor, rewards: Tensor) -> Step:
        """A step in which no episode ended."""
        no, unknown, yes = self._nothing
        return Step(obs, rewards, no, no, obs, unknown, yes, uneventful=True)

    @property
    def run_seed(self) -> int:  # type: ignore[override]
        """To set it, to the same too, is to start over: the next `reset` is the first."""
        return self._run_seed

    @run_seed.setter
    def run_seed(self, seed: int) -> None:
        self._run_seed, self._resets = seed, 0

    def _seed_of(self, reset: int) -> int:
        """Of one call of `reset`; environment i gets this plus i."""
        return episode_seed(self.run_seed, self.first_index, reset)

    def _asked(self, method: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """What `reset` or `step` returns: so many values, the last of them a dict.

        Raises:
            EnvironmentFault: it raised an exception; with its place.
            UserError: it returns something else, or takes no seed.
        """
        try:
            found = getattr(self.env, method)(*args, **kwargs)
        except (Exception, SystemExit) as error:
            if isinstance(error, TypeError) and "'seed'" in str(error):
                raise UserError(
                    f"{self.place}: reset must take a seed, def reset(self, seed=None); "
                    f"it raised {described(error)}"
                ) from error
            raise EnvironmentFault(f"{self.place}: {method} {raised(error)}") from error
        count = 2 if method == "reset" else 5
        if not isinstance(found, tuple) or len(found) != count or not isinstance(found[-1], dict):
            raise UserError(
                f"{self.place}: {method} must return {self.returns[method]}, got {shortened(found)}"
            )
        return found

    def _whole(self, infos: dict[str, Any], key: str) -> Any:
        """What infos hold of all environments, in one array or list or in a dict of these.

        Raises:
            UserError: not of each.
        """
        found = infos[key]
        parts = found.values() if isinstance(found, dict) else [found]
        try:
            counts = {len(part) for part in parts}
        except TypeError:  # a single number, or nothing
            counts = set()
        if counts != {self.num_envs}:
            raise UserError(
                f"{self.place}: infos[{key!r}] must hold one for each environment, "
                f"{self.num_envs} in all, got {shortened(found)}"
            )
        return found

    def reset(self) -> Tensor:
        """Starts every environment; each call begins other episodes until `run_seed` is set."""
        seed = self._seed_of(self._resets)
        self._resets += 1
        self._moved = False
        self.reports.take()  # those of episodes that are no longer wanted
        self._begun = self._first(*self._asked("reset", seed=seed))
        return self._begun

    @abstractmethod
    def _first(self, observations: Any, infos: dict[str, Any]) -> Tensor:
        """Rows [N, ...] of what a reset gave."""

    def mark(self) -> Callable[[], dict[str, Tensor]]:
        """A reset, which is to be repeated: the last one and what it gave.

        After further steps it is the next one, as where the environments are cannot be found again.
        """
        told = {} if self._moved else {"begun": self._begun.detach().to("cpu", copy=True)}
        state = {"resets": torch.tensor(self._resets + self._moved), **told}
        return lambda: state

    def load_state_dict(self, state: dict[str, Tensor]) -> Tensor:
        """Repeats the reset; an event where it does not give what it gave before."""
        self._resets = int(state["resets"]) - 1
        obs = self.reset()
        if "begun" in state and not state["begun"].equal(obs.cpu()):
            self.events.append(
                f"env.id: {self.env_id}: a reset with the seed of before led elsewhere, so this "
                "resume is not exact"
            )
        return obs

    def close(self) -> None:
        if self.closes and callable(getattr(self.env, "close", None)):
            with contextlib.suppress(Exception, SystemExit):
                self.env.close()


def one_of(found: Any, env: int) -> Any:
    """What is there of one environment; all may be in a dict of arrays."""
    return {k: v[env] for k, v in found.items()} if isinstance(found, dict) else found[env]
