"""Gymnasium's MuJoCo tasks, with all but the physics done for many environments at once.

`env.step` of these tasks spends half its time in small numpy calls and wrappers. Here the physics
of each environment is stepped by itself, and observations, rewards and ends are computed for all of
them together, with the operations of Gymnasium's own classes in their order, so that every bit is
the same (tests/envs/test_mujoco.py). Episodes are started, and played again, by the original.
"""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec

from ppo.envs.host.slot import Slot, SlotGroup, Task


class State(NamedTuple):
    """n environments after their steps; `before` holds the values from before the steps."""

    env: Any  # the first of Gymnasium's classes, for its constants
    qpos: np.ndarray  # [n, nq]
    qvel: np.ndarray  # [n, nv]
    before: np.ndarray  # [n, 3] qpos or the main body's place
    after: np.ndarray  # [n, 3]
    actions: np.ndarray  # [n, nu] float32
    forces: np.ndarray  # [n, bodies, 6] contact forces; empty where the task does not use them


Outcome = tuple[np.ndarray, np.ndarray, np.ndarray]  # observations, rewards, terminated


def _velocity(state: State) -> np.ndarray:
    """[n, 3] of `before` and `after`."""
    return (state.after - state.before) / state.env.dt


def _control_cost(state: State) -> np.ndarray:
    return state.env._ctrl_cost_weight * np.square(state.actions).sum(axis=1)


def _observed(state: State, left_out: int, limit: float | None = None) -> np.ndarray:
    skip = left_out if state.env._exclude_current_positions_from_observation else 0
    speeds = state.qvel if limit is None else np.clip(state.qvel, -limit, limit)
    return np.concatenate((state.qpos[:, skip:], speeds), axis=1)


def _inside(values: np.ndarray, bounds: tuple[float, float]) -> np.ndarray:
    return (bounds[0] < values) & (values < bounds[1])


def _half_cheetah(state: State) -> Outcome:
    rewards = state.env._forward_reward_weight * _velocity(state)[:, 0] - _control_cost(state)
    return _observed(state, 1), rewards, np.zeros(len(rewards), bool)


def _swimmer(state: State) -> Outcome:
    rewards = state.env._forward_reward_weight * _velocity(state)[:, 0] - _control_cost(state)
    return _observed(state, 2), rewards, np.zeros(len(rewards), bool)


def _upright(state: State) -> np.ndarray:
    return _inside(state.qpos[:, 1], state.env._healthy_z_range) & _inside(
        state.qpos[:, 2], state.env._healthy_angle_range
    )


def _walking(state: State, healthy: np.ndarray) -> Outcome:
    env = state.env
    forward = env._forward_reward_weight * _velocity(state)[:, 0]
    rewards = forward + healthy * env._healthy_reward - _control_cost(state)
    return _observed(state, 1, 10.0), rewards, ~healthy & env._terminate_when_unhealthy


def _walker2d(state: State) -> Outcome:
    return _walking(state, _upright(state))


def _hopper(state: State) -> Outcome:
    rest = np.concatenate((state.qpos[:, 2:], state.qvel), axis=1)
    steady = _inside(rest, state.env._healthy_state_range).all(axis=1)
    return _walking(state, _upright(state) & steady)


def _ant(state: State) -> Outcome:
    env = state.env
    low, high = env._contact_force_range
    forces = np.clip(state.forces, low, high)
    whole = np.concatenate((state.qpos, state.qvel), axis=1)
    z_low, z_high = env._healthy_z_range
    healthy = np.isfinite(whole).all(axis=1) & (z_low <= whole[:, 2]) & (whole[:, 2] <= z_high)
    contact_cost = env._contact_cost_weight * np.square(forces).reshape(len(forces), -1).sum(axis=1)
    forward = _velocity(state)[:, 0] * env._forward_reward_weight
    rewards = forward + healthy * env._healthy_reward - (_control_cost(state) + contact_cost)
    obs = _observed(state, 2)
    if env._include_cfrc_ext_in_observation:
        obs = np.concatenate((obs, forces[:, 1:].reshape(len(forces), -1)), axis=1)
    return obs, rewards, ~healthy & env._terminate_when_unhealthy


def _inverted_pendulum(state: State) -> Outcome:
    obs = np.concatenate((state.qpos, state.qvel), axis=1)
    terminated = ~np.isfinite(obs).all(axis=1) | (np.abs(obs[:, 1]) > 0.2)
    return obs, (~terminated).astype(np.float64), terminated


class Form(NamedTuple):
    """The formulas of a task."""

    class_path: str
    compute: Callable[[State], Outcome]
    needs_forces: bool = False
    place: str = "qpos"  # source of forward velocity: qpos, or a body's place


FORMS = {
    form.class_path.partition(":")[2]: form
    for form in (
        Form("gymnasium.envs.mujoco.half_cheetah_v5:HalfCheetahEnv", _half_cheetah),
        Form("gymnasium.envs.mujoco.hopper_v5:HopperEnv", _hopper),
        Form("gymnasium.envs.mujoco.walker2d_v5:Walker2dEnv", _walker2d),
        Form("gymnasium.envs.mujoco.swimmer_v5:SwimmerEnv", _swimmer),
        Form("gymnasium.envs.mujoco.ant_v5:AntEnv", _ant, True, "body"),
        Form("gymnasium.envs.mujoco.inverted_pendulum_v5:InvertedPendulumEnv", _inverted_pendulum),
    )
}
PLAIN_WRAPPERS = {"TimeLimit", "OrderEnforcing", "PassiveEnvChecker"}


def form_of(env: gym.Env) -> Form | None:
    """The form of exactly these environments; None for subclasses and for other wrappers."""
    layer = env
    while isinstance(layer, gym.Wrapper):
        if type(layer).__name__ not in PLAIN_WRAPPERS:
            return None
        layer = layer.env
    kind = type(layer)
    form = FORMS.get(kind.__name__)
    if form is None or form.class_path != f"{kind.__module__}:{kind.__name__}":
        return None
    return form if layer.render_mode is None else None


class MujocoGroup(SlotGroup):
    """A `SlotGroup` of one of the tasks above."""

    def __init__(self, spec: EnvSpec, task: Task, indices: range) -> None:
        super().__init__(spec, task, indices)
        import mujoco

        form = form_of(self.slots[0].env)
        assert form is not None
        self._form, self._mujoco = form, mujoco
        self._limit = self.slots[0].env.spec.max_episode_steps or math.inf  # type: ignore
        self._bind()

    def _bind(self) -> None:
        """Keeps a view of each environment's arrays, [1, ...] for `concatenate`."""
        cores: list[Any] = [slot.env.unwrapped for slot in self.slots]
        self._bound = [slot.env for slot in self.slots]
        self._cores = cores
        self._physics = [(core.model, core.data, core.data.ctrl) for core in cores]
        self._qpos = [core.data.qpos[None] for core in cores]
        self._qvel = [core.data.qvel[None] for core in cores]
        if self._form.place == "body":
            self._place = [core.data.body(core._main_body).xpos[None] for core in cores]
        else:
            self._place = [qpos[:, :3] for qpos in self._qpos]
        forces = cores if self._form.needs_forces else []
        self._forces = [core.data.cfrc_ext[None] for core in forces]
        self._frames = cores[0].frame_skip

    def step(self, parity: int) -> None:
        rows = self.rows
        if any(slot.env is not env for slot, env in zip(self.slots, self._bound, strict=True)):
            self._bind()  # an environment was built anew after a fault
        actions = np.ascontiguousarray(self.decoder.decode(rows.actions))
        before = np.concatenate(self._place)
        self._advance(actions)
        state = State(
            self._cores[0],
            np.concatenate(self._qpos),
            np.concatenate(self._qvel),
            before,
            np.concatenate(self._place),
            actions,
            np.concatenate(self._forces) if self._forces else np.zeros(0),
        )
        with np.errstate(over="ignore", invalid="ignore"):  # reported below as not finite
            observations, rewards, terminated = self._form.compute(state)
            rows.obs[parity] = observations
            rows.rewards[:, 0] = rewards
        rows.terminated[:] = terminated
        rows.truncated[:] = [slot.steps >= self._limit for slot in self.slots]
        rows.valid[:] = True
        for row in np.flatnonzero(rows.terminated | rows.truncated).tolist():
            self._end(row, self.slots[row], parity)
        self._check(parity)

    def _advance(self, actions: np.ndarray) -> None:
        """The physics of every environment, one after the other."""
        step, after, frames = self._mujoco.mj_step, self._mujoco.mj_rnePostConstraint, self._frames
        needs_forces = self._form.needs_forces
        for row, (model, data, control) in enumerate(self._physics):
            self._mark(row)
            self.slots[row].steps += 1
            control[:] = actions[row]
            step(model, data, nstep=frames)
            if needs_forces:
                after(model, data)

    def _end(self, row: int, slot: Slot, parity: int) -> None:
        rows = self.rows
        final = rows.final_obs[row]
        final[...] = rows.obs[parity, row]
        rows.success[row] = math.nan
        if not (np.isfinite(final).all() and np.isfinite(rows.rewards[row]).all()):
            self._on_nonfinite(row, slot, final, parity)
            return
        slot.failures = 0
        self._begin(row, slot, slot.episode + 1, parity)


def _warn_once() -> None:
    """MuJoCo repeats a warning for each of many equal models, and writes a file beside the run."""
    try:
        import mujoco
    except ImportError:
        return
    mujoco.set_mju_user_warning(_told_once)


@functools.cache
def _told_once(message: str) -> None:
    logging.getLogger(__name__).info("MuJoCo: %s", message)


def make_group(spec: EnvSpec, task: Task, indices: range) -> SlotGroup:
    """The fastest group that gives the data of Gymnasium's `step`."""
    if str(spec.entry_point).startswith("gymnasium.envs.mujoco"):
        _warn_once()
    if spec.entry_point in {form.class_path for form in FORMS.values()} and not task.kwargs.get(
        "render_mode"
    ):
        group = SlotGroup(spec, task, range(indices.start, indices.start + 1))
        plain = form_of(group.slots[0].env) is not None
        group.close()
        if plain:
            return MujocoGroup(spec, task, indices)
    return SlotGroup(spec, task, indices)
