"""DoubleIntegrator-v0: reach a target position and velocity at a set time with little control.

The numbers are in `ppo/envs/tasks/double_integrator.py`, the description in
docs/double_integrator.md.
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from ppo.envs.native import REGISTRY
from ppo.envs.tasks.double_integrator import (
    BONUS,
    COMPONENTS,
    DT,
    EFFORT,
    MAX_CONTROL,
    MAX_POSITION,
    MAX_VELOCITY,
    MISS,
    NUM_STEPS,
    OBSERVATION_HIGH,
    OBSERVATION_LOW,
    PRECISION,
    PROGRESS,
    START_POSITION,
    START_VELOCITY,
    SUCCESS_ERROR,
)
from ppo.envs.torch_env import TorchEnvironment

Array = TypeVar("Array", Tensor, np.ndarray)


@REGISTRY.register("DoubleIntegrator-v0")
class DoubleIntegrator(TorchEnvironment):
    """State [N, 5]: position, velocity, target position, target velocity, steps left.

    Episodes end after 15 steps and are terminated there, not truncated: the time left is
    observed, and nothing comes after the horizon that a value could speak of.
    """

    component_names: tuple[str, ...] = COMPONENTS
    fixed_length = NUM_STEPS
    num_uniforms = 4

    def __init__(self) -> None:
        self.observation_space = spaces.Box(OBSERVATION_LOW, OBSERVATION_HIGH)
        self.action_space = spaces.Box(-MAX_CONTROL, MAX_CONTROL, (1,))

    def initial(self, uniforms: Tensor) -> Tensor:
        position, velocity, goal, goal_velocity = (uniforms * 2 - 1).unbind(1)
        return torch.stack(
            (
                position * START_POSITION,
                velocity * START_VELOCITY,
                goal * START_POSITION,
                goal_velocity * START_VELOCITY,
                torch.full_like(position, NUM_STEPS),
            ),
            1,
        )

    def dynamics(self, state: Tensor, actions: Tensor) -> Tensor:
        """The next state; the control [N, 1] acts constantly for one step of 0.33 s.

        Exact for constant acceleration. Differentiable in state and control, with no gradient
        through a bound that holds.
        """
        position, velocity, goal, goal_velocity, left = state.unbind(1)
        control = actions[:, 0].clamp(-MAX_CONTROL, MAX_CONTROL)
        moved = position + velocity * DT + control * (0.5 * DT * DT)
        faster = velocity + control * DT
        return torch.stack(
            (
                moved.clamp(-MAX_POSITION, MAX_POSITION),
                faster.clamp(-MAX_VELOCITY, MAX_VELOCITY),
                goal,
                goal_velocity,
                left - 1,
            ),
            1,
        )

    def observe(self, state: Tensor) -> Tensor:
        moving, goal, left = state[:, :2], state[:, 2:4], state[:, 4:]
        return torch.cat((moving, goal - moving, left * DT), 1)

    def state_of(self, obs: Tensor) -> Tensor:
        moving, goal, left = obs[:, :2], obs[:, 2:4], obs[:, 4:]
        return torch.cat((moving, goal + moving, (left / DT).round()), 1)

    def rewards(self, state: Tensor, actions: Tensor, next_state: Tensor, ends: Tensor) -> Tensor:
        after = final_error(next_state)
        last = ends.to(state.dtype)
        control = actions[:, 0].clamp(-MAX_CONTROL, MAX_CONTROL)
        return torch.stack(
            (
                (final_error(state) - after) * PROGRESS,
                control.square() * (-EFFORT * DT),
                last * (PRECISION * torch.exp(-after) - MISS * after),
                last * (after < SUCCESS_ERROR) * BONUS,
            ),
            1,
        )

    def terminal(self, next_state: Tensor) -> Tensor:
        return next_state[:, 4] < 0.5

    def success(self, next_state: Tensor) -> Tensor:
        return final_error(next_state) < SUCCESS_ERROR


def final_error(state: Tensor) -> Tensor:
    """[N] distance to the target in position (m) and velocity (m/s), as one number."""
    return torch.hypot(state[:, 2] - state[:, 0], state[:, 3] - state[:, 1])


def optimal_control(obs: Array) -> Array:
    """The control of least energy that reaches the target in the time left.

    Of all u(t) that steer a double integrator from here to the target in time T, the one with the
    least integral of u^2 is u(t) = a + b t (Pontryagin's principle). Returned is its average over
    the step to come, a + b dt / 2, because a control is held for a step. Asked again in every
    step it corrects what the averaging lost.

    Args:
        obs: [..., 5] observations of DoubleIntegrator-v0, torch or numpy, at least one step left.

    Returns:
        [..., 1] accelerations in m/s^2, not clipped.
    """
    a, b = optimal_coefficients(obs)
    return (a + b * (0.5 * DT))[..., None]


def optimal_plan(obs: Array, num_steps: int) -> Array:
    """The same control for the next `num_steps` steps, [..., num_steps], without looking again."""
    a, b = optimal_coefficients(obs)
    middles: Any = (np.arange(num_steps) + 0.5) * DT
    if isinstance(obs, Tensor):
        middles = torch.as_tensor(middles, dtype=obs.dtype, device=obs.device)
    return a[..., None] + b[..., None] * middles


def optimal_coefficients(obs: Array) -> tuple[Array, Array]:
    """a (m/s^2) and b (m/s^3) of u(t) = a + b t, t counted from now; each [...].

    They solve a T + b T^2 / 2 = dv and a T^2 / 2 + b T^3 / 6 = dp - v T.
    """
    velocity, dp, dv, time = obs[..., 1], obs[..., 2], obs[..., 3], obs[..., 4]
    b = (dv * time / 2 - (dp - velocity * time)) * 12 / time**3
    return dv / time - b * time / 2, b
