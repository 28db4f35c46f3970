"""Gymnasium's MuJoCo tasks, with all but the physics done for many environments at once.

`env.step` of these tasks spends half its time in small numpy calls and wrappers. Here the physics
of each environment is stepped by itself, and observations, rewards and ends are computed for all of
them together, with the operations of Gymnasium's own classes in their order, so that every bit is
the same (tests/envs/test_mujoco.py). Episodes are started, and played again, by the original.

The formulas read private attributes of Gymnasium's classes, which another version may name or use
otherwise. So a short trial comes first: where it does not give the bits of `env.step`, environments
are stepped by `env.step`.
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

from ppo.envs.factory import Factory
from ppo.envs.host.slot import Task, make_task_env
from ppo.envs.host.slot_group import SlotGroup
from ppo.envs.reports import numbers_of
from ppo.envs.wrapping import closing


class State(NamedTuple):
    """n environments after their steps; `before` holds the values from before the steps."""

    env: Any  # the first of Gymnasium's classes, for its constants
    qpos: np.ndarray  # [n, nq]
    qvel: np.ndarray  # [n, nv]
    before: np.ndarray  # [n, 3] qpos or the main body's place
    after: np.ndarray  # [n, 3]
    actions: np.ndarray  # [n, nu] float32
    forces: np.ndarray  # [n, bodies, 6] contact forces; empty where the task does not use them


class Outcome(NamedTuple):
    """What n environments give, in Gymnasium's order."""

    observations: np.ndarray  # [n, numbers]
    rewards: np.ndarray  # [n]
    terminated: np.ndarray  # [n] bool


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


def _endless(left_out: int, state: State) -> Outcome:
    rewards = state.env._forward_reward_weight * _velocity(state)[:, 0] - _control_cost(state)
    return Outcome(_observed(state, left_out), rewards, np.zeros(len(rewards), bool))


def _upright(state: State) -> np.ndarray:
    return _inside(state.qpos[:, 1], state.env._healthy_z_range) & _inside(
        state.qpos[:, 2], state.env._healthy_angle_range
    )


def _walking(state: State, healthy: np.ndarray) -> Outcome:
    env = state.env
    forward = env._forward_reward_weight * _velocity(state)[:, 0]
    rewards = forward + healthy * env._healthy_reward - _control_cost(state)
    ended = ~healthy & env._terminate_when_unhealthy
    return Outcome(_observed(state, 1, 10.0), rewards, ended)


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
    return Outcome(obs, rewards, ~healthy & env._terminate_when_unhealthy)


def _inverted_pendulum(state: State) -> Outcome:
    obs = np.concatenate((state.qpos, state.qvel), axis=1)
    terminated = ~np.isfinite(obs).all(axis=1) | (np.abs(obs[:, 1]) > 0.2)
    return Outcome(obs, (~terminated).astype(np.float64), terminated)


class Form(NamedTuple):
    """The formulas of a task."""

    compute: Callable[[State], Outcome]
    needs_forces: bool = False
    place: str = "qpos"  # source of forward velocity: qpos, or a body's place


MODULES = "gymnasium.envs.mujoco"
FORMS = {
    f"{MODULES}.half_cheetah_v5:HalfCheetahEnv": Form(functools.partial(_endless, 1)),
    f"{MODULES}.hopper_v5:HopperEnv": Form(_hopper),
    f"{MODULES}.walker2d_v5:Walker2dEnv": Form(_walker2d),
    f"{MODULES}.swimmer_v5:SwimmerEnv": Form(functools.partial(_endless, 2)),
    f"{MODULES}.ant_v5:AntEnv": Form(_ant, True, "body"),
    f"{MODULES}.inverted_pendulum_v5:InvertedPendulumEnv": Form(_inverted_pendulum),
}
PLAIN_WRAPPERS = {"TimeLimit", "OrderEnforcing", "PassiveEnvChecker"}
TRIAL = 50  # steps: with random actions every task that can end has ended before


def form_of(env: gym.Env) -> Form | None:
    """The form of exactly these environments; None for subclasses and for other wrappers."""
    layer = env
    while isinstance(layer, gym.Wrapper):
        if type(layer).__name__ not in PLAIN_WRAPPERS:
            return None
        layer = layer.env
    form = FORMS.get(f"{type(layer).__module__}:{type(layer).__name__}")
    return form if layer.render_mode is None else None


class Bodies:
    """Environments of one form, stepped together without their wrappers.

    Args:
        form: common to all of them.
        envs: as Gymnasium makes them.
    """

    def __init__(self, form: Form, envs: list[gym.Env]) -> None:
        import mujoco

        self.envs, self._form, self._mujoco = envs, form, mujoco
        cores: list[Any] = [env.unwrapped for env in envs]
        self._cores, self._frames = cores, cores[0].frame_skip
        # A view of each environment's arrays, [1, ...] for `concatenate`.
        self._physics = [(core.model, core.data, core.data.ctrl) for core in cores]
        self._qpos = [core.data.qpos[None] for core in cores]
        self._qvel = [core.data.qvel[None] for core in cores]
        if form.place == "body":
            self._place = [core.data.body(core._main_body).xpos[None] for core in cores]
        else:
            self._place = [qpos[:, :3] for qpos in self._qpos]
        self._forces = [core.data.cfrc_ext[None] for core in (cores if form.needs_forces else [])]

    def step(self, actions: np.ndarray, begin: Callable[[int], None]) -> Outcome:
        """One step of all; `begin` is called with the number of each before its physics."""
        before = np.concatenate(self._place)
        self._advance(actions, begin)
        self._last = state = State(
            self._cores[0],
            np.concatenate(self._qpos),
            np.concatenate(self._qvel),
            before,
            np.concatenate(self._place),
            actions,
            np.concatenate(self._forces) if self._forces else np.zeros(0),
        )
        with np.errstate(over="ignore", invalid="ignore"):  # the caller reports what is not finite
            return self._form.compute(state)

    def info(self, row: int) -> dict[str, Any]:
        """The info of the step just made, by Gymnasium's own `step` around physics already done."""
        core, state = self._cores[row], self._last

        def arrive(action: np.ndarray, frames: int) -> None:
            self._qpos[row][0], self._qvel[row][0] = state.qpos[row], state.qvel[row]
            self._place[row][0] = state.after[row]
            if self._forces:
                self._forces[row][0] = state.forces[row]

        self._place[row][0] = state.before[row]
        core.do_simulation = arrive
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                return core.step(state.actions[row])[4]
        finally:
            del core.do_simulation

    def _advance(self, actions: np.ndarray, begin: Callable[[int], None]) -> None:
        """The physics of every environment, one after the other."""
        step, after, frames = self._mujoco.mj_step, self._mujoco.mj_rnePostConstraint, self._frames
        needs_forces = self._form.needs_forces
        for row, (model, data, control) in enumerate(self._physics):
            begin(row)
            control[:] = actions[row]
            step(model, data, nstep=frames)
            if needs_forces:
                after(model, data)


def misfit(form: Form, env: gym.Env) -> str | None:
    """Why the form does not give the bits of `env.step` here; None if it does, in a short trial."""
    try:
        env.action_space.seed(0)
        actions = [env.action_space.sample() for _ in range(TRIAL)]
        env.reset(seed=0)
        own = [env.step(action) for action in actions]
        env.reset(seed=0)
        bodies = Bodies(form, [env])
        for action, expected in zip(actions, own, strict=True):
            found = bodies.step(action[None], lambda row: None)
            for name, mine, its in zip(Outcome._fields, found, expected[:3], strict=True):
                if not np.array_equal(mine[0], its, equal_nan=True):
                    return f"{name} differ"
            if numbers_of(bodies.info(0)) != numbers_of(expected[4]):
                return "infos differ"
    except Exception as error:  # whatever it is, `env.step` does not need it
        return repr(error)
    return None


class MujocoGroup(SlotGroup):
    """A `SlotGroup` of one of the tasks above."""

    def __init__(self, spec: EnvSpec | Factory, task: Task, indices: range) -> None:
        super().__init__(spec, task, indices)
        form = form_of(self.slots[0].env)
        assert form is not None
        self._form = form
        self._limit = self.slots[0].env.spec.max_episode_steps or math.inf  # type: ignore
        self._bodies = Bodies(form, [slot.env for slot in self.slots])

    def step(self, parity: int) -> None:
        rows, bound = self.rows, self._bodies.envs
        if any(slot.env is not env for slot, env in zip(self.slots, bound, strict=True)):
            # An environment was built anew after a fault.
            self._bodies = Bodies(self._form, [slot.env for slot in self.slots])
        actions = np.ascontiguousarray(self.decoder.array(rows.actions))
        found = self._bodies.step(actions, self._begin_step)
        with np.errstate(over="ignore", invalid="ignore"):  # reported below as not finite
            seen = found.observations
            rows.obs[parity] = self.encoder.rows_of(seen) if self.encoder.layout.precise else seen
            rows.rewards[:, 0] = found.rewards
        rows.terminated[:] = found.terminated
        rows.truncated[:] = [slot.steps >= self._limit for slot in self.slots]
        rows.valid[:] = True
        for row in np.flatnonzero(rows.terminated | rows.truncated).tolist():
            rows.final_obs[row] = rows.obs[parity, row]
            rows.success[row] = math.nan
            self._end(row, self.slots[row], parity, functools.partial(self._bodies.info, row))
        with np.errstate(over="ignore", invalid="ignore"):
            self._check(parity)

    def _begin_step(self, row: int) -> None:
        self._mark(row)
        self.slots[row].steps += 1


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


def make_group(spec: EnvSpec | Factory, task: Task, indices: range) -> SlotGroup:
    """The fastest group that gives the data of Gymnasium's `step`."""
    if isinstance(spec, Factory):
        return SlotGroup(spec, task, indices)
    if str(spec.entry_point).startswith(MODULES):
        _warn_once()
    if spec.entry_point not in FORMS or task.wrappers or task.kwargs.get("render_mode"):
        return SlotGroup(spec, task, indices)
    with closing(make_task_env(spec, task, indices.start)) as env:
        form = form_of(env)
        found = misfit(form, env) if form is not None else None
    if form is not None and found is None:
        return MujocoGroup(spec, task, indices)
    group = SlotGroup(spec, task, indices)
    if found is not None:
        group.notes.append(
            f"env.id: {spec.id}: stepped one by one, since the formulas for many at once do not "
            f"fit gymnasium {gym.__version__} ({found})"
        )
    return group
