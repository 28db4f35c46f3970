"""Simulators that step all environments at once and speak in tensors, on whatever device.

They keep their own state and random numbers. A step never waits for the device.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, runtime_checkable

import gymnasium as gym
import torch
from torch import Tensor

from ppo.core.blame import brief
from ppo.core.data import Step
from ppo.core.errors import UserError
from ppo.envs.actions import ActionDecoder
from ppo.envs.at_once import REACHED, AtOnce
from ppo.envs.given import saves_state
from ppo.envs.host import masks
from ppo.envs.host.slot import Task
from ppo.envs.observations import ObservationEncoder
from ppo.envs.precision import decide
from ppo.envs.reports import DeviceReports
from ppo.envs.simulator_rows import ActionCaster, RowMaker, form_of, is_on
from ppo.envs.simulator_state import flat, nested

SUCCESS, COMPONENTS = "is_success", "reward_components"
SEEDS = 2**31  # some take no larger ones


@runtime_checkable
class TorchVectorEnv(Protocol):
    """What a simulator must have; nothing is inherited.

    An environment whose episode ends is reset in the same step. `state_dict()` and
    `load_state_dict(state)` (dicts, perhaps nested, of tensors, numbers and text) make a resumed
    run exact; `close()` frees what it holds. Neither has to be there.

    Attributes:
        num_envs: N.
        device: of all tensors that come and go.
        single_observation_space, single_action_space: of one environment.
    """

    num_envs: int
    device: Any
    single_observation_space: gym.Space
    single_action_space: gym.Space

    def reset(self, *, seed: int | None = None) -> tuple[Any, dict[str, Any]]:
        """Starts all environments; observations [N, ...], a dict of them for a Dict space, info."""

    def step(self, actions: Tensor) -> tuple[Any, Tensor, Tensor, Tensor, dict[str, Any]]:
        """One step of all environments.

        Args:
            actions: float32 [N, *shape] for Box, int64 [N] for Discrete, int64 [N, M] for
                MultiDiscrete and MultiBinary.

        Returns:
            observations [N, ...], of the next episode where one ended; rewards [N];
            terminated [N] bool; truncated [N] bool; info of [N] tensors:
            `final_obs` [N, ...] the last observation of the episodes that ended, whose other rows
            are not read; and, where there is such a thing, `is_success` [N], `action_mask` [N, M]
            and `reward_components`, a dict of [N].
        """


def _device(given: Any, env_id: str) -> torch.device:
    """
    Raises:
        UserError: there is none of this name on this machine.
    """
    try:
        device = torch.device(given)
        if device.type != "meta":
            torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, TypeError) as error:
        raise UserError(
            f"env.id: {env_id}: its device {given!r} cannot be used: {brief(error, str)}"
        ) from error
    return torch.device("cpu") if device.type == "cpu" else device  # cpu:0 is another to torch


class SimulatorEnvironments(AtOnce):
    """A `TorchVectorEnv` behind the interface of all environments.

    Args:
        env: the simulator.
        env_id: its name for messages.
        closes: whether `close` closes it.

    Raises:
        UserError: what its first reset and its first step give is no such thing.
    """

    backend = "simulator"
    returns = {
        "reset": "(obs, info)",
        "step": "(obs, rewards, terminated, truncated, info)",
    }
    reports: DeviceReports

    def __init__(self, env: Any, env_id: str, task: Task, first_index: int, closes: bool) -> None:
        if task.frame_stack > 1:
            raise UserError(
                f"env.frame_stack: {task.frame_stack}: {env_id} cannot stack observations; write "
                "env.frame_stack 1"
            )
        super().__init__(env, env_id, task, first_index, closes)
        self.place = f"env.id: {env_id}"
        self.device = _device(env.device, env_id)
        self.max_episode_steps = getattr(env, "max_episode_steps", None)
        self.reports = DeviceReports()
        self.restore_level = "state" if saves_state(env) else "boundary"
        ActionDecoder(self.action_space, env_id)  # refuses what cannot be acted in
        self._cast = ActionCaster(self.action_space, self.device)
        self._on_host = self.device.type == "cpu"
        self._untold: Tensor | None = None  # an episode was cut without its last observation
        self._find_properties(task)

    def _find_properties(self, task: Task) -> None:
        """Masks and components, by a reset and a step; `reset` seeds all again."""
        obs, info = self._asked("reset", seed=self._seed_of(self._resets))
        wants = task.action_masks != "never" and masks.size_of(self.action_space)
        observed = masks.in_observation(self.observation_space, self.action_space)
        self._mask = "info" if masks.KEY in info else "observation" if observed else ""
        self._mask = self._mask if wants else ""
        count = masks.size_of(self.action_space) if self._mask else 0
        if self._mask and self._on_host:
            self._check_mask(info if self._mask == "info" else obs, count)
        encoder = ObservationEncoder(self.observation_space, self.env_id)
        look = partial(encoder.parts, obs)
        precise, self.notes = decide(encoder.leaves, task.precise, self.env_id, look)
        self._rows_of = RowMaker(
            self.observation_space, self.env_id, self.num_envs, self.device, count, precise
        )
        self.layout = self._rows_of.layout
        if COMPONENTS not in info:
            *_, info = self._asked("step", self._some_actions())
        self.component_names = tuple(info.get(COMPONENTS, {})) or ("reward",)

    def _check_mask(self, told: Any, count: int) -> None:
        """
        Raises:
            UserError: it holds other numbers, such as those that are added to logits.
        """
        mask = self._column(told.get(masks.KEY), masks.KEY, count)
        if not torch.isin(mask.double(), torch.tensor([0.0, 1.0], dtype=torch.float64)).all():
            raise UserError(f"{self.place}: {masks.KEY} must hold 0 and 1 alone, got {mask[0]}")

    def _some_actions(self) -> Tensor:
        self.action_space.seed(0)
        drawn = [torch.as_tensor(self.action_space.sample()) for _ in range(self.num_envs)]
        return self._cast(torch.stack(drawn))

    def _seed_of(self, reset: int) -> int:
        return super()._seed_of(reset) % SEEDS

    def _first(self, observations: Any, infos: dict[str, Any]) -> Tensor:
        self._obs = self._rows(observations, infos)
        return self._obs

    def _rows(self, obs: Any, info: dict[str, Any] | None) -> Tensor:
        """Rows of our own memory; without info every action counts as valid."""
        mask = None
        if self._mask and info is not None:
            told = info if self._mask == "info" else obs
            mask = self._column(told.get(masks.KEY), masks.KEY, self.layout.num_mask)
        if info is not None:
            self._rows_of.refuse_outside(obs)
        return self._rows_of(obs, mask)

    def step(self, actions: Tensor) -> Step:
        if not torch.is_grad_enabled():  # the context below costs as much as three operations
            return self._step(actions)
        with torch.no_grad():
            return self._step(actions)

    def _step(self, actions: Tensor) -> Step:
        self._moved = True
        obs, rewards, terminated, truncated, info = self._asked("step", self._cast(actions))
        ends = self._column(terminated, "terminated")
        limits = self._column(truncated, "truncated")
        rows, parts = self._rows(obs, info), self._rewards(rewards, info)
        self._obs = rows
        if self._none_ended(ends, limits):
            return self._uneventful(rows, parts)
        ended = torch.logical_or(ends, limits)
        reached = self._reached(rows, ended, limits, info)
        _, success, valid = self._nothing
        if SUCCESS in info:
            success = torch.where(ended, self._column(info[SUCCESS], SUCCESS).float(), success)
        if self._report:
            self.reports.gather(info, ended)
        return Step(
            obs=rows,
            rewards=parts,
            terminated=ends != 0,
            truncated=limits != 0,
            final_obs=reached,
            success=success,
            valid=valid,
        )

    def _none_ended(self, ends: Tensor, limits: Tensor) -> bool:
        """Whether no episode ended. False too on a device, where to look would mean waiting."""
        if not self._on_host:
            return False
        if ends.dtype == limits.dtype == torch.bool:
            return torch.equal(ends, self._nothing[0]) and torch.equal(limits, self._nothing[0])
        return not torch.logical_or(ends, limits).any()

    def _reached(self, rows: Tensor, ended: Tensor, limits: Tensor, info: dict[str, Any]) -> Tensor:
        """[N, ...] the states reached. Some simulators name them only where an episode ended."""
        told = next((info[key] for key in REACHED if info.get(key) is not None), None)
        if told is None:
            untold = limits.any()  # what follows a termination is not looked at
            self._untold = untold if self._untold is None else self._untold | untold
            return rows
        where = ended.reshape(-1, *(1 for _ in self.layout.shape))
        return torch.where(where, self._rows(told, None), rows)

    def _rewards(self, rewards: Any, info: dict[str, Any]) -> Tensor:
        """[N, K] float32."""
        if self.component_names == ("reward",):
            found = self._column(rewards, "rewards").unsqueeze(-1)
            return found.clone() if found.dtype == torch.float32 else found.float()
        parts = info.get(COMPONENTS, {})
        if tuple(parts) != self.component_names:
            raise UserError(
                f"{self.place}: info[{COMPONENTS!r}] must have the entries "
                f"{', '.join(self.component_names)} in every step, got {', '.join(parts)}"
            )
        columns = [self._column(part, f"{COMPONENTS}[{name!r}]") for name, part in parts.items()]
        return torch.stack([column.float() for column in columns], -1)

    def _column(self, found: Any, name: str, width: int = 0) -> Tensor:
        """[N] of what may have come as [N, 1], or [N, width].

        Raises:
            UserError: it is no tensor with a number for each environment, on this device.
        """
        shape = (self.num_envs, width) if width else (self.num_envs,)
        if isinstance(found, Tensor) and found.shape == shape and found.device == self.device:
            return found  # the commonest form, quickly seen
        size = self.num_envs * max(width, 1)
        if not isinstance(found, Tensor) or found.numel() != size or not is_on(found, self.device):
            raise UserError(
                f"{self.place}: {name} must be a tensor of shape {list(shape)} on "
                f"{self.device}, got {form_of(found)}"
            )
        return found.reshape(shape)

    def drain_events(self) -> list[str]:
        """The events since the last call.

        Raises:
            UserError: a time limit cut an episode whose last observation was not given.
        """
        if self._untold is not None and bool(self._untold):
            raise UserError(
                f"{self.place}: an episode was truncated and info has no {REACHED[0]!r}; "
                "give the last observations of the episodes that ended as a full [N, ...]"
            )
        self._untold = None
        return super().drain_events()

    def mark(self) -> Callable[[], dict[str, Tensor]]:
        """resets, and where the simulator can save its state, that and the observations."""
        if self.restore_level == "boundary":
            return super().mark()
        state = {f"state.{name}": value for name, value in flat(self.env.state_dict()).items()}
        state |= {"resets": torch.tensor(self._resets), "obs": self._obs.clone()}
        return lambda: {name: value.cpu() for name, value in state.items()}

    def load_state_dict(self, state: dict[str, Tensor]) -> Tensor:
        if self.restore_level == "boundary":
            return super().load_state_dict(state)
        self._refuse_number(len(state["obs"]))
        self.reports.take()
        self._resets, self._moved = int(state["resets"]), True
        saved = {name[6:]: value for name, value in state.items() if name.startswith("state.")}
        self.env.load_state_dict(nested(saved, self.device))
        self._obs = state["obs"].to(self.device, copy=True)
        return self._obs
