"""The public face of a training: train, evaluate, and what callbacks may read and steer."""

from __future__ import annotations

import copy
import math
import numbers
from collections.abc import Callable
from typing import Any

from ppo.core.blame import brief
from ppo.core.errors import UserError
from ppo.core.metrics import clean
from ppo.policies.evaluate import evaluate_policy
from ppo.policies.policy import Policy
from ppo.training.loop import Loop


class Trainer(Loop):
    """A training run.

    Nothing is written before `train()`: a configuration that does not work leaves no run behind.
    Between two calls of `train()` the environments stay as they are and the run's folder is free.

    Args:
        config: validated settings.
        results: folder of run folders.
        env: the environment, in place of `env.id`: a Gymnasium id, `package.module:name`, a class,
            a factory `make()` or `make(index)`, a `gymnasium.vector.VectorEnv`, a
            `ppo.envs.TorchVectorEnv`, or a VecEnv of Stable-Baselines3 (docs/environments.md).
        callbacks: a list of them, or one; see `ppo.Callback`.
        resume: a run (`run0007`, `latest`, a path) to continue exactly where it stopped.
        console: an observer that prints; none by default.

    Attributes:
        folder: folder of the run; None before `train`, and in all processes but the first.
        recent: returns of the last 100 episodes of training.
        notes: what the user should know at the start, in words.
    """

    def train(
        self, batches: int | None = None, total_timesteps: int | None = None
    ) -> dict[str, Any]:
        """Train to a number of environment steps; called again it goes on, bit for bit.

        Args:
            batches: train so many further ones instead.
            total_timesteps: counted from the first batch; default: `train.total_timesteps`, which
                schedules follow in any case.

        Returns:
            The summary that is also written to summary.json.

        Raises:
            Diverged: numerical faults that rollbacks did not cure; the last good state is saved.
        """
        self._check(batches, total_timesteps)
        total = total_timesteps or self.config.train.total_timesteps
        return self._run(lambda: self._end_of(batches, total))

    def _check(self, batches: int | None, total_timesteps: int | None) -> None:
        if batches is not None and total_timesteps is not None:
            raise UserError("train: give batches or total_timesteps, not both")
        for name, value in (("batches", batches), ("total_timesteps", total_timesteps)):
            if value is not None and not _is_count(value):
                shown = brief(value, longest=60)
                raise UserError(f"train: {name}: {shown}; allowed: a whole number, 1 or more")
        if self._guard is not None:
            raise UserError("train: it is being trained already; a callback cannot train")
        if self.status == "failed":
            raise UserError(
                f"train: this trainer has failed ({self.reason}); make another one, with resume"
            )
        if not self._free.alive:
            raise UserError("train: this trainer is closed; make another one, with resume")

    def _end_of(self, batches: int | None, total: int) -> Callable[[], bool]:
        counters = self.learner.counters
        if batches is None:
            return lambda: counters["env_steps"] >= total
        last = counters["batch"] + batches
        return lambda: counters["batch"] >= last

    def evaluate(
        self, episodes: int = 100, deterministic: bool = True, seed: int = 0
    ) -> dict[str, Any]:
        """Play the policy as it is now, as `--mode evaluate` does, in environments of its own.

        With `evaluation.env: same` in those of the training, whose episodes go on afterwards.

        Args:
            episodes, deterministic, seed: as in `ppo.evaluate`, whose result it returns.

        Raises:
            UserError, EnvironmentFault: as there.
        """
        with self.evaluated.borrowed(self.learner) as envs:
            return evaluate_policy(
                self.policy, episodes, seed, deterministic, env=self.given, envs=envs
            )

    def close(self) -> None:
        """Free the environments. A trainer that is dropped or left by `with` does it by itself."""
        self._free()

    def __enter__(self) -> Trainer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def policy(self) -> Policy:
        """A copy of the policy as it is now, on the CPU."""
        agent = copy.deepcopy(self.learner.objective.agent).cpu()
        return Policy(agent, self.config, self.envs.observation_space, self.envs.action_space)

    def log(self, name: str, value: float) -> None:
        """Adds `custom/NAME` to the record of the batch; only inside `on_batch`.

        Args:
            value: a number; None, NaN and infinities are written as null.

        Raises:
            UserError: it is none, or there is no record.
        """
        record = self.callbacks.record
        if record is None:
            raise UserError(f"log: {name}: there is a record in on_batch alone")
        try:
            if isinstance(value, str | bytes):  # float("3.5") is a number
                raise TypeError
            record[f"custom/{name}"] = clean(value)
        except (TypeError, ValueError, RuntimeError):  # the last of a tensor of several
            raise UserError(
                f"log: {name}: {brief(value, longest=60)} is not a number; allowed: int, float, "
                "bool, an array or a tensor of one number, None"
            ) from None

    def set(self, key: str, value: Any) -> None:
        """Moves a setting from the next batch on.

        It is recorded as an event and resumed exactly. In `on_start` of a run that goes on nothing
        moves: the checkpoint holds what is in force.

        Args:
            key: ppo.learning_rate, ppo.clip_epsilon, ppo.entropy_coefficient or
                ppo.component_weights.

        Raises:
            UserError: this setting cannot move, or not to this value; or the run is resumed and its
                checkpoint not yet loaded.
        """
        self._must_be_saved("set")
        if self.callbacks.event is None and not self.begun and (self.resumed or self.opened):
            raise UserError(
                f"set: {key}: train loads what the checkpoint holds; write it into the "
                "configuration, or call set in on_batch"
            )
        event = None if self.callbacks.restoring else self.settings.set(key, value)
        if event:
            record = self.callbacks.record
            (self.events if record is None else record["events"]).append(event)

    def call_envs(self, method: str, *args: Any) -> list[Any]:
        """Calls a method of every training environment of this process; what each gives.

        That is numbers, strings, lists and dicts of them, and None in place of anything else.

        A resumed run makes all calls again, at the same steps; in `on_start` of a run that goes on
        nothing is called. Backends sync and async only.

        Raises:
            UserError: there is no such method, or there are no single environments.
        """
        self._must_be_saved("call_envs")
        if not self.begun:
            raise UserError(f"call_envs: {method}: nothing has begun; call it in on_start")
        return [] if self.callbacks.restoring else self.envs.call(method, *args)

    def stop(self, reason: str) -> None:
        """Ends the run after this batch, with an evaluation; its status is then `finished`."""
        if self._guard is None:
            raise UserError("stop: nothing is being trained")
        self._stop = self._stop or str(reason)

    def _must_be_saved(self, name: str) -> None:
        event = self.callbacks.event
        if event in ("on_checkpoint", "on_end"):
            raise UserError(f"{name}: the checkpoint is written before {event}; use on_batch")


def _is_count(value: Any) -> bool:
    """Whether it is a whole number from 1 on, such as 2e5."""
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and value >= 1 and value == int(value)
