"""Swing-up of an inverted pendulum, as in gymnasium.envs.classic_control."""

from __future__ import annotations

import math

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from ppo.envs.native import REGISTRY
from ppo.envs.torch_env import TorchEnvironment

MAX_SPEED = 8.0  # rad/s
MAX_TORQUE = 2.0  # N m
DT = 0.05  # s
MASS, LENGTH = 1.0, 1.0  # kg, m


@REGISTRY.register("Pendulum-v1")
class Pendulum(TorchEnvironment):
    """State: angle from upright (not wrapped) and angular velocity."""

    num_uniforms = 2

    def __init__(self, g: float = 10.0, max_episode_steps: int = 200) -> None:
        high = np.array([1.0, 1.0, MAX_SPEED], np.float32)
        self.observation_space = spaces.Box(-high, high)
        self.action_space = spaces.Box(-MAX_TORQUE, MAX_TORQUE, (1,))
        self.max_episode_steps = self.fixed_length = max_episode_steps
        self._gravity = g

    def initial(self, uniforms: Tensor) -> Tensor:
        angle, speed = (uniforms * 2 - 1).unbind(1)
        return torch.stack((angle * math.pi, speed), 1)

    def dynamics(self, state: Tensor, actions: Tensor) -> Tensor:
        angle, speed = state.unbind(1)
        torque = actions[:, 0].clamp(-MAX_TORQUE, MAX_TORQUE)
        pull = 3 * self._gravity / (2 * LENGTH) * angle.sin()
        speed = speed + (pull + 3.0 / (MASS * LENGTH**2) * torque) * DT
        speed = speed.clamp(-MAX_SPEED, MAX_SPEED)
        return torch.stack((angle + speed * DT, speed), 1)

    def observe(self, state: Tensor) -> Tensor:
        angle, speed = state.unbind(1)
        return torch.stack((angle.cos(), angle.sin(), speed), 1)

    def state_of(self, obs: Tensor) -> Tensor:
        return torch.stack((torch.atan2(obs[:, 1], obs[:, 0]), obs[:, 2]), 1)

    def rewards(self, state: Tensor, actions: Tensor, next_state: Tensor, ends: Tensor) -> Tensor:
        angle, speed = state.unbind(1)
        torque = actions[:, 0].clamp(-MAX_TORQUE, MAX_TORQUE)
        wrapped = torch.remainder(angle + math.pi, 2 * math.pi) - math.pi
        cost = wrapped.square() + 0.1 * speed.square() + 0.001 * torque.square()
        return -cost[:, None]
