"""Shared by the in-process and the worker backends: the log of running episodes, and `Step`."""

from __future__ import annotations

import hashlib
import json
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor

from ppo.core.data import Step
from ppo.core.errors import EnvironmentFault, UserError
from ppo.envs.actions import ActionDecoder
from ppo.envs.base import Environments
from ppo.envs.host import masks
from ppo.envs.host.rows import Rows, Shapes
from ppo.envs.host.slot import Call, Probed
from ppo.envs.host.slot_group import SlotGroup
from ppo.envs.observations import ObservationEncoder, without_text


class Running(NamedTuple):
    """The episodes that run at a moment."""

    episodes: np.ndarray  # [N] their numbers
    starts: np.ndarray  # [N] steps of the log before they began
    now: int  # steps of the log


class EpisodeLog:
    """The actions of all running episodes, for replay.

    Whole steps are kept, [N, *shape] each, back to the start of the oldest running episode.
    """

    def __init__(self, num_envs: int, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self.episodes = np.zeros(num_envs, np.int64)
        self._nothing = np.zeros((0, *shape), dtype)
        self._starts = np.zeros(num_envs, np.int64)
        self._base = 0  # number of the first step kept
        self._mark: Running | None = None
        self._steps: list[np.ndarray] = []
        self._trim_at = 256

    @property
    def now(self) -> int:
        """Steps logged since the reset."""
        return self._base + len(self._steps)

    def append(self, actions: np.ndarray) -> None:
        self._steps.append(actions)
        if len(self._steps) >= self._trim_at:
            oldest = int(self._starts.min())
            if self._mark is not None:
                oldest = min(oldest, int(self._mark.starts.min()))
            del self._steps[: oldest - self._base]
            self._base = oldest
            self._trim_at = 2 * len(self._steps) + 256

    def next_episode(self, ended: np.ndarray) -> None:
        """Notes that the episodes of `ended` [N] bool are over; call it after `append`."""
        self.episodes[ended] += 1
        self._starts[ended] = self.now

    def running(self) -> Running:
        """The episodes that run now."""
        return Running(self.episodes.copy(), self._starts.copy(), self.now)

    def mark(self) -> Running:
        """The same, whose actions are kept until the next mark."""
        self._mark = self.running()
        return self._mark

    def length(self, env: int) -> int:
        """Steps of the running episode of one environment."""
        return self.now - int(self._starts[env])

    def actions(self, env: int, running: Running | None = None) -> np.ndarray:
        """[L, *shape] actions of the episode of one environment that runs now, or ran then."""
        _, starts, now = running or self.running()
        steps = self._steps[int(starts[env]) - self._base : now - self._base]
        kept = [step[env] for step in steps]
        return np.stack(kept) if kept else self._nothing

    def restore(self, episodes: np.ndarray, actions: list[np.ndarray]) -> None:
        """Goes back to running episodes of known actions, one array [L_i, *shape] each."""
        lengths = np.array([len(item) for item in actions], np.int64)
        longest = int(lengths.max(initial=0))
        steps = np.zeros((longest, len(actions), *self._nothing.shape[1:]), self._nothing.dtype)
        for env, item in enumerate(actions):
            steps[longest - len(item) :, env] = item
        self.episodes = episodes.astype(np.int64)
        self._base, self._steps, self._starts = 0, list(steps), longest - lengths
        self._mark = None


def digest(observation: np.ndarray) -> int:
    """63 bits that differ where any bit of the observation does."""
    raw = hashlib.blake2b(np.ascontiguousarray(observation).tobytes(), digest_size=8).digest()
    return int.from_bytes(raw, "little") >> 1


class HostEnvironments(Environments):
    """Gymnasium environments stepped on the host, in whatever process."""

    restore_level = "replay"
    rows: Rows

    def _describe(self, env: gym.Env, env_id: str, num_envs: int, run_seed: int) -> None:
        """Takes over the properties of one environment."""
        self.num_envs, self.run_seed = num_envs, run_seed
        self.observation_space = without_text(env.observation_space)
        self.action_space = env.action_space
        self.max_episode_steps = env.spec.max_episode_steps if env.spec else None
        self._whole_space, self._env_id = env.observation_space, env_id
        self.encoder = ObservationEncoder(env.observation_space, env_id)
        self.decoder = ActionDecoder(env.action_space, env_id)
        self.events: list[str] = []
        self.notes = [
            f"env.id: {env_id}: entry {name!r} of the observation is text and is left out"
            for name in self.encoder.left_out
        ]
        self._parity = 0
        no = torch.zeros(num_envs, dtype=torch.bool)
        self._nothing = no, torch.full((num_envs,), torch.nan), ~no  # of steps that end no episode
        self._log = EpisodeLog(num_envs, self.decoder.shape, self.decoder.dtype)
        self._fault: EnvironmentFault | None = None  # after which nothing can go on
        self._calls: list[Call] = []  # the step of the log before which each was made
        self._told_outside = False

    def _adopt(self, probed: Probed) -> None:
        """Takes over the results of a first reset; from here on rows have their final layout."""
        self.component_names = tuple(probed.component_names) or ("reward",)
        self.notes += probed.notes
        count = masks.size_of(self.action_space) if probed.mask_source != "none" else 0
        self.encoder = ObservationEncoder(
            self._whole_space, self._env_id, count, precise=probed.precise
        )
        self.layout = self.encoder.layout

    def _hear(
        self, events: list[str], outside: str | None, reported: list[dict[str, float]]
    ) -> None:
        """Takes over what a group told; observations outside their space once a run."""
        self.events += events
        if outside and not self._told_outside:
            self._told_outside = True
            self.events.append(outside)
        for report in reported:
            self.reports.add(report)

    def _shapes(self) -> Shapes:
        return Shapes(
            self.num_envs,
            self.decoder.shape,
            self.decoder.dtype.name,
            self.encoder.shape,
            self.encoder.dtype.name,
            len(self.component_names),
        )

    @abstractmethod
    def _run_reset(self, episodes: list[int]) -> None:
        """Starts these episodes; writes rows.obs[parity]."""

    @abstractmethod
    def _run_step(self) -> None:
        """One step from rows.actions; writes rows.obs[parity] and the rest."""

    @abstractmethod
    def _run_replay(self) -> list[bool]:
        """Plays the running episodes again; False where one ended early this time."""

    @abstractmethod
    def _run_call(self, method: str, args: list[Any]) -> list[Any]:
        """Calls a method of each environment; the answers in order."""

    def call(self, method: str, *args: Any) -> list[Any]:
        try:
            plain = json.loads(json.dumps(args, allow_nan=False))
        except (TypeError, ValueError) as error:
            raise UserError(
                f"call_envs: {method}: arguments must be numbers, strings, and lists and dicts of "
                f"them ({error})"
            ) from None
        try:
            found = self._run_call(method, plain)
        except EnvironmentFault as fault:
            self._fault = fault  # some environments were called and some not
            raise
        self._calls.append((self._log.now, method, plain))
        return found

    def _replay_in(self, group: SlotGroup, row: int) -> bool:
        """Plays the running episode of an environment of this process again."""
        episode, actions = int(self._log.episodes[row]), self._log.actions(row)
        calls = self._calls_of(row)
        return group.replay(row, episode, actions, self._parity, self.run_seed, calls)

    def _calls_of(self, env: int) -> list[Call]:
        """All calls, by the step of the running episode; below 0: before its reset."""
        start = self._log.now - self._log.length(env)
        return [(step - start, method, args) for step, method, args in self._calls]

    def reset(self) -> Tensor:
        self.reports.take()  # those of episodes that are no longer wanted
        self._log = EpisodeLog(self.num_envs, self.decoder.shape, self.decoder.dtype)
        self._calls = [(-1, method, args) for _, method, args in self._calls]
        self._parity = 0
        self._run_reset([0] * self.num_envs)
        return self._current()

    def step(self, actions: Tensor) -> Step:
        if self._fault is not None:
            raise self._fault
        taken = self._host_actions(actions)
        rows = self.rows
        rows.actions[...] = taken
        self._parity ^= 1
        self._run_step()
        self._log.append(taken)
        ended = rows.terminated | rows.truncated
        obs, rewards = self._current(), torch.from_numpy(rows.rewards.copy())
        if not np.logical_or.reduce(ended):  # and a row that is not valid ends its episode
            no, unknown, yes = self._nothing
            return Step(obs, rewards, no, no, obs, unknown, yes, uneventful=True)
        self._log.next_episode(ended)
        success = np.full(self.num_envs, np.nan, np.float32)
        success[ended] = rows.success[ended]
        final_obs = obs.clone()
        index = np.flatnonzero(ended)
        final_obs[torch.from_numpy(index)] = torch.from_numpy(rows.final_obs[index])
        return Step(
            obs=obs,
            rewards=rewards,
            terminated=torch.from_numpy(rows.terminated.copy()),
            truncated=torch.from_numpy(rows.truncated.copy()),
            final_obs=final_obs,
            success=torch.from_numpy(success),
            valid=torch.from_numpy(rows.valid.copy()),
        )

    def state_dict(self) -> dict[str, Tensor]:
        """The running episodes: their numbers and actions.

        episodes [N], lengths [N], actions [sum of lengths, ...], digests [N] of the observations;
        calls, where there were any.
        """
        obs = self.rows.obs[self._parity]
        return self._state(self._log.running(), obs, len(self._calls))

    def mark(self) -> Callable[[], dict[str, Tensor]]:
        running, obs, calls = self._log.mark(), self.rows.obs[self._parity].copy(), len(self._calls)
        return lambda: self._state(running, obs, calls)

    def _state(self, running: Running, obs: np.ndarray, num_calls: int) -> dict[str, Tensor]:
        actions = [self._log.actions(env, running) for env in range(self.num_envs)]
        state = {
            "episodes": torch.from_numpy(running.episodes),
            "lengths": torch.tensor([len(item) for item in actions], dtype=torch.int64),
            "actions": torch.from_numpy(np.concatenate(actions)),
            "digests": torch.tensor([digest(row) for row in obs], dtype=torch.int64),
        }
        if num_calls:  # as JSON in bytes, each with the number of steps since
            calls = [[running.now - step, *call] for step, *call in self._calls[:num_calls]]
            data = np.frombuffer(json.dumps(calls).encode(), np.uint8)
            state["calls"] = torch.from_numpy(data.copy())
        return state

    def load_state_dict(self, state: dict[str, Tensor]) -> Tensor:
        """Plays the running episodes again.

        An environment that ends in another state is not deterministic: reported in `events`.

        Raises:
            RunError: the state is of another number of environments.
        """
        self.reports.take()
        episodes = state["episodes"].numpy()
        self._refuse_number(len(episodes))
        cuts = np.cumsum(state["lengths"].numpy())[:-1]
        actions = np.split(state["actions"].numpy(), cuts)
        self._parity = 0
        self._log.restore(episodes, actions)
        calls = json.loads(state["calls"].numpy().tobytes()) if "calls" in state else []
        self._calls = [(self._log.now - age, method, args) for age, method, args in calls]
        complete = self._run_replay()
        digests = [digest(row) for row in self.rows.obs[0]]
        for env, (whole, now, then) in enumerate(
            zip(complete, digests, state["digests"].tolist(), strict=True)
        ):
            if not whole or now != then:
                self.events.append(
                    f"environment {env} is not deterministic: playing episode {episodes[env]} "
                    "again led elsewhere, so this resume is not exact"
                )
        return self._current()

    def _current(self) -> Tensor:
        return torch.from_numpy(self.rows.obs[self._parity].copy())

    def _host_actions(self, actions: Tensor) -> np.ndarray:
        """An array of our own, of the right type and finite."""
        taken = actions.detach().cpu().numpy().astype(self.decoder.dtype)
        expected = (self.num_envs, *self.decoder.shape)
        assert taken.shape == expected, f"actions {taken.shape} in place of {expected}"
        assert self.decoder.is_discrete or np.isfinite(taken).all(), "an action is not finite"
        return taken
