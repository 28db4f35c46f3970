"""What `env.id: env_forms:NAME` can name."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv

ID = "CartPole-v1"
NUMBER = 17


def make() -> gym.Env:
    return gym.make(ID)


class Maker:
    @staticmethod
    def make() -> gym.Env:
        return gym.make(ID)


def make_all(num_envs: int) -> Any:
    return CartPoleVectorEnv(num_envs)


def make_too_many(num_envs: int) -> Any:
    return CartPoleVectorEnv(2 * num_envs)


def make_nothing() -> None:
    pass


def make_numbered(index: int) -> gym.Env:
    env = gym.make("Pendulum-v1")
    space = gym.spaces.Box(-np.inf, np.inf, (1,))
    return gym.wrappers.TransformObservation(env, lambda _: np.full(1, index, np.float32), space)
