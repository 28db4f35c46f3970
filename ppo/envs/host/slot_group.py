"""Several environments of one worker or process, stepped in turn into shared rows."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from gymnasium.envs.registration import EnvSpec

from ppo.core.blame import cannot_unpack, raised
from ppo.core.errors import EnvironmentFault, UserError
from ppo.envs.actions import ActionDecoder
from ppo.envs.factory import Factory
from ppo.envs.host import masks
from ppo.envs.host.checks import (
    bounds_of,
    first_nonfinite,
    flag,
    plain,
    scalar,
    shortened,
    success,
    wrong_step,
)
from ppo.envs.host.probing import probe
from ppo.envs.host.row_checks import all_finite, check_slots, check_sums, first_outside
from ppo.envs.host.rows import Rows
from ppo.envs.host.slot import Call, Probed, Slot, Task
from ppo.envs.observations import ObservationEncoder
from ppo.envs.reports import numbers_of

MAX_FAILURES_IN_A_ROW = 3


class SlotGroup:
    """Some environments stepped one after the other, each writing its row of `rows`.

    Attributes:
        events: what happened since the last `take_told`, in words.
        reported: numbers of each episode that ended since then, where they are gathered.
        outside: the first observation outside the space since then, in words.
        notes: on how these environments are stepped, in words.
    """

    def __init__(self, spec: EnvSpec | Factory, task: Task, indices: range) -> None:
        self.task = task
        self.slots = [Slot(spec, task, index) for index in indices]
        env = self.slots[0].env
        check_slots(self.slots)
        self.encoder = ObservationEncoder(env.observation_space, spec.id)
        self.decoder = ActionDecoder(env.action_space, spec.id)
        self.events: list[str] = []
        self.outside: str | None = None
        self.notes: list[str] = []
        self.reported: list[dict[str, float]] = []
        self._names: Sequence[str] | None = None
        self._masks = "none"
        self._begun = 0
        self._bounds = bounds_of(env.observation_space, self.encoder)

    def probe(self) -> Probed:
        """The first environment's reward components and source of masks."""
        return probe(self.slots[0], self.encoder, self.task, self.notes)

    def attach(self, rows: Rows, probed: Probed) -> None:
        """Sets the rows to read and write, and the first environment's properties."""
        self.rows = rows
        self._names = probed.component_names or None
        self._masks = probed.mask_source
        env = self.slots[0].env
        count = masks.size_of(env.action_space) if self._masks != "none" else 0
        self.encoder = ObservationEncoder(
            env.observation_space, self.slots[0].spec.id, count, precise=probed.precise
        )

    def reset(self, episodes: list[int], parity: int, run_seed: int) -> None:
        """Starts the given episode of each environment; seeds are `run_seed`'s from now on."""
        with np.errstate(over="ignore", invalid="ignore"):
            for row, (slot, episode) in enumerate(zip(self.slots, episodes, strict=True)):
                slot.run_seed = run_seed
                self._begin(row, slot, episode, parity)
        self._check_reset_rows(range(len(self.slots)), parity)

    def step(self, parity: int) -> None:
        """One step of each environment; the next episode begins where one ended."""
        rows = self.rows
        rows.terminated[:] = False
        rows.truncated[:] = False
        rows.valid[:] = True
        actions = self.decoder.array(rows.actions)
        # Values beyond float32 are reported as not finite.
        with np.errstate(over="ignore", invalid="ignore"):
            for row, slot in enumerate(self.slots):
                self._step(row, slot, actions[row], parity)
            self._check(parity)

    def take_told(self) -> tuple[list[str], str | None, list[dict[str, float]]]:
        """`events`, `outside` and `reported`, which are empty again after that."""
        taken = self.events, self.outside, self.reported
        self.events, self.outside, self.reported = [], None, []
        return taken

    def call(self, method: str, args: list[Any]) -> list[Any]:
        """What a method of each environment gives, as far as it is plain; else None."""
        for slot in self.slots:
            slot.method(method)  # all have it, or none is called
        return [plain(slot.call(method, args)) for slot in self.slots]

    def replay(
        self, row: int, episode: int, actions: Any, parity: int, run_seed: int, calls: list[Call]
    ) -> bool:
        """Plays an unfinished episode again; False where it ended early this time.

        Args:
            actions: [L, *shape], an array or lists; L may be 0.
            calls: in order; those before step 0 come before the reset.
        """
        slot = self.slots[row]
        slot.run_seed = run_seed
        self._mark(row)
        if slot.calls:
            slot.begin_anew()
        due = deque(calls)

        def call_until(step: int) -> None:
            while due and due[0][0] <= step:
                slot.call(*due.popleft()[1:])

        call_until(-1)
        observation, info = slot.reset(episode)
        taken = np.array(actions, self.decoder.dtype).reshape(-1, *self.decoder.shape)
        for step, action in enumerate(self.decoder.array(taken)):
            call_until(step)
            self._mark(row)
            slot.steps += 1
            try:
                result = slot.env.step(action)
            except (Exception, SystemExit) as error:
                raise EnvironmentFault(
                    f"{slot.where()}: played again, step {raised(error)}"
                ) from error
            try:
                observation, _, terminated, truncated, info = result
            except (TypeError, ValueError):
                raise wrong_step(slot.where, result) from None
            ends = (("terminated", terminated), ("truncated", truncated))
            if any(flag(slot.where, name, found) for name, found in ends):
                return False
        call_until(len(taken))
        self._write_first(row, slot, observation, parity, info)
        return True

    def _mark(self, row: int) -> None:
        """Counts each beginning and notes its environment, for a supervisor."""
        self._begun += 1
        self.rows.progress[row] = self._begun

    def close(self) -> None:
        """Closes the environments; a failing one does not keep the others open."""
        slots, self.slots = self.slots, []
        for slot in slots:
            slot.close()

    def _begin(self, row: int, slot: Slot, episode: int, parity: int) -> None:
        self._mark(row)
        observation, info = slot.reset(episode)
        self._write_first(row, slot, observation, parity, info)

    def _write(self, slot: Slot, observation: Any, row: np.ndarray, info: Any) -> None:
        """Writes an observation and its mask.

        Final observations (info None) get an all-ones mask: no action follows.
        """
        try:
            self.encoder.write(observation, row)
            if self._masks != "none":
                every = np.ones(self.encoder.layout.num_mask)
                told = info is not None
                mask = masks.read(slot.env, observation, info, self._masks) if told else every
                self.encoder.write_mask(mask, row)
        except ValueError as error:
            raise UserError(f"{slot.where()}: {error}") from None

    def _write_first(self, row: int, slot: Slot, observation: Any, parity: int, info: Any) -> None:
        """Writes what a new episode shows."""
        try:
            self._write(slot, observation, self.rows.obs[parity, row], info)
        except masks.Raised as error:
            text = f"{slot.where()}: {masks.METHOD} {raised(error.inner)}"
            raise EnvironmentFault(text) from error.inner

    def _step(self, row: int, slot: Slot, action: Any, parity: int) -> None:
        rows = self.rows
        self._mark(row)
        slot.steps += 1
        try:
            result = slot.env.step(action)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # such as the panic of a library in Rust
            if cannot_unpack(error):
                raise UserError(
                    f"{slot.where()}: step must return (observation, reward, terminated, truncated,"
                    f" info), five values where the old gym had four; it gave others ({error})"
                ) from error
            self._on_error(row, slot, parity, error)
            return
        try:
            observation, reward, terminated, truncated, info = result
            said = info.get
        except (TypeError, ValueError, AttributeError):
            raise wrong_step(slot.where, result) from None
        if type(reward) is np.float64:  # most often, and quickly seen
            reward = float(reward)
        elif type(reward) is not float:
            reward = scalar(slot.where, reward)
        if type(terminated) is not bool:
            terminated = flag(slot.where, "terminated", terminated)
        if type(truncated) is not bool:
            truncated = flag(slot.where, "truncated", truncated)
        if self._names is None:
            rows.rewards[row, 0] = reward
            if said("reward_components") is not None:
                raise UserError(
                    f"{slot.where()}: info['reward_components'] is there now, but was not in the "
                    "first reset and the first step; give it in every step, with 0 for what there "
                    "is not"
                )
        else:
            self._write_components(row, slot, reward, said("reward_components"))
        if not (terminated or truncated):
            try:
                self._write(slot, observation, rows.obs[parity, row], info)
            except masks.Raised as error:
                self._on_error(row, slot, parity, error.inner, masks.METHOD)
            return
        rows.terminated[row] = terminated
        rows.truncated[row] = truncated
        rows.success[row] = success(slot.where, said("is_success"))
        self._write(slot, observation, rows.final_obs[row], None)
        self._end(row, slot, parity, lambda: info)

    def _end(self, row: int, slot: Slot, parity: int, info: Callable[[], Any]) -> None:
        """Begins the next episode, where the last one ended in numbers."""
        final = self.rows.final_obs[row]
        if self._nonfinite(final) or not np.isfinite(self.rows.rewards[row]).all():
            self._on_nonfinite(row, slot, final, parity)
            return
        if self.task.report:
            self.reported.append(numbers_of(info()))
        slot.failures = 0
        self._begin(row, slot, slot.episode + 1, parity)

    def _write_components(self, row: int, slot: Slot, reward: float, parts: Any) -> None:
        assert self._names is not None
        try:
            found = [parts[name] for name in self._names]
            self.rows.rewards[row] = [
                part if type(part) is float else scalar(slot.where, part, f"the component {name!r}")
                for name, part in zip(self._names, found, strict=True)
            ]
            complete = len(parts) == len(self._names)
        except (TypeError, KeyError):
            complete = False
        if not complete:
            raise UserError(
                f"{slot.where()}: info['reward_components'] must have the entries "
                f"{', '.join(self._names)} in every step, got {shortened(parts)}"
            )
        self.rows.totals[row] = reward

    def _check(self, parity: int) -> None:
        rows, obs = self.rows, self.rows.obs[parity]
        if self._names is not None:
            check_sums(self.slots, self._names, rows)
        numbers = self.encoder.floats(obs)
        if numbers is not None and not all_finite(numbers):
            fresh = [i for i, slot in enumerate(self.slots) if slot.steps == 0]
            self._check_reset_rows(fresh, parity)
            for row in np.flatnonzero(~np.isfinite(numbers).all(axis=1)).tolist():
                self._on_nonfinite(row, self.slots[row], obs[row].copy(), parity)
        if not all_finite(rows.rewards):
            for row in np.flatnonzero(~np.isfinite(rows.rewards).all(axis=1)).tolist():
                self._on_nonfinite(row, self.slots[row], obs[row].copy(), parity)
        if self._bounds is not None and numbers is not None:
            self.outside = first_outside(self.slots, numbers, self._bounds)
            if self.outside:
                self._bounds = None  # once is enough

    def _nonfinite(self, row: np.ndarray) -> str:
        return first_nonfinite(self.encoder.floats(row))

    def _check_reset_rows(self, which: Any, parity: int) -> None:
        for row in which:
            if found := self._nonfinite(self.rows.obs[parity, row]):
                raise EnvironmentFault(
                    f"{self.slots[row].where()}: reset gave an observation that is not finite: "
                    f"{found}"
                )

    # Reactions to faults.

    def _on_nonfinite(self, row: int, slot: Slot, reached: np.ndarray, parity: int) -> None:
        what = f"the reward is not finite (as float32): {self.rows.rewards[row].tolist()}"
        if found := self._nonfinite(reached):
            what = f"the observation is not finite: {found}"
        if self.task.on_nonfinite == "stop":
            raise EnvironmentFault(
                f"{slot.where()}: {what}; env.on_nonfinite: reset would cut such an episode"
            )
        self._cut(row, slot, parity, what)

    def _on_error(
        self, row: int, slot: Slot, parity: int, error: BaseException, asked: str = "step"
    ) -> None:
        what = f"{asked} {raised(error)}"
        if self.task.on_error == "stop":
            raise EnvironmentFault(
                f"{slot.where()}: {what}; env.on_error: restart would cut such an episode"
            ) from error
        slot.restart()
        self._cut(row, slot, parity, what)

    def _cut(self, row: int, slot: Slot, parity: int, what: str) -> None:
        """Drops the transition and ends the episode as truncated at the last good observation."""
        slot.failures += 1
        if slot.failures > MAX_FAILURES_IN_A_ROW:
            raise EnvironmentFault(
                f"{slot.where()}: {what}; this was episode {slot.failures} in a row with a fault"
            )
        self.events.append(f"{slot.where()}: {what}; the episode was cut")
        rows = self.rows
        rows.final_obs[row] = rows.obs[1 - parity, row]
        rows.rewards[row] = 0.0
        rows.terminated[row] = False
        rows.truncated[row] = True
        rows.success[row] = math.nan
        rows.valid[row] = False
        self._begin(row, slot, slot.episode + 1, parity)
        self._check_reset_rows([row], parity)
