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


class Times(gym.RewardWrapper):
    def __init__(self, env: gym.Env, factor: float) -> None:
        super().__init__(env)
        self.factor = factor

    def reward(self, reward: Any) -> float:
        return float(reward) * self.factor


def halved(env: gym.Env) -> gym.Env:
    return gym.wrappers.TransformObservation(env, lambda obs: obs / 2, env.observation_space)


def shifted(env: gym.Env, by: float = 1.0) -> gym.Env:
    return gym.wrappers.TransformObservation(
        env, lambda obs: np.float32(obs + by), gym.spaces.Box(-np.inf, np.inf, (4,))
    )


def make_wrapped() -> gym.Env:
    return halved(Times(gym.wrappers.TimeLimit(gym.make(ID), 9), 4.0))
