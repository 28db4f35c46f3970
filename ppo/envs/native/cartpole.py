"""CartPole of Barto, Sutton & Anderson (1983), as in gymnasium.envs.classic_control."""

from __future__ import annotations

import math

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from ppo.envs.native import REGISTRY
from ppo.envs.torch_env import TorchEnvironment

GRAVITY = 9.8  # m/s^2
POLE_MASS = 0.1  # kg
TOTAL_MASS = 1.1  # kg, with the cart
HALF_LENGTH = 0.5  # m
POLE_MASS_LENGTH = POLE_MASS * HALF_LENGTH
FORCE = 10.0  # N
TAU = 0.02  # s
MAX_POSITION = 2.4  # m
MAX_ANGLE = 12 * 2 * math.pi / 360  # rad


@REGISTRY.register("CartPole-v1")
class CartPole(TorchEnvironment):
    """State and observation: position, velocity, pole angle, angular velocity."""

    num_uniforms = 4

    def __init__(self, sutton_barto_reward: bool = False, max_episode_steps: int = 500) -> None:
        high = np.array([2 * MAX_POSITION, np.inf, 2 * MAX_ANGLE, np.inf], np.float32)
        self.observation_space = spaces.Box(-high, high)
        self.action_space = spaces.Discrete(2)
        self.max_episode_steps = max_episode_steps
        self._sutton_barto_reward = sutton_barto_reward

    def initial(self, uniforms: Tensor) -> Tensor:
        return uniforms * 0.1 - 0.05

    def dynamics(self, state: Tensor, actions: Tensor) -> Tensor:
        angle, spin = state[:, 2], state[:, 3]
        force = (actions * 2 - 1) * FORCE
        cos, sin = angle.cos(), angle.sin()
        push = (force + POLE_MASS_LENGTH * spin.square() * sin) / TOTAL_MASS
        spin_rate = (GRAVITY * sin - cos * push) / (
            HALF_LENGTH * (4.0 / 3.0 - POLE_MASS * cos.square() / TOTAL_MASS)
        )
        acceleration = push - POLE_MASS_LENGTH * spin_rate * cos / TOTAL_MASS
        return state + TAU * torch.stack((state[:, 1], acceleration, spin, spin_rate), 1)

    def observe(self, state: Tensor) -> Tensor:
        return state

    def rewards(self, state: Tensor, actions: Tensor, next_state: Tensor, ends: Tensor) -> Tensor:
        if self._sutton_barto_reward:
            return -self.terminal(next_state).to(state.dtype)[:, None]
        return torch.ones_like(state[:, :1])

    def terminal(self, next_state: Tensor) -> Tensor:
        return (next_state[:, 0].abs() > MAX_POSITION) | (next_state[:, 2].abs() > MAX_ANGLE)
