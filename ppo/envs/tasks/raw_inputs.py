"""Environments whose numbers have the sizes that raw data have (no torch here).

`RawInputs-v0` is CartPole whose observations look like the pulses of a detector: a time in
thousands, a charge over ten decades that reaches 77,785, and lengths in the hundreds.
`ThreeScales-v0` is DoubleIntegrator with three reward components of any three sizes.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from ppo.envs.tasks.double_integrator import DoubleIntegratorEnv

LARGEST = 77_785.0
TIME_OFFSET, TIME_SIZE = 1e4, 3e4
CHARGE_DECADES = 3.0
LENGTH = 500.0
TYPICAL = np.array([2.4, 1.2, 0.21, 3.5])  # CartPole's position, speed, angle, angular speed

SCALED_COMPONENTS = ("terminal", "progress", "control_effort")
EQUAL_SIZES = (0.1, 0.2, 3.0)  # factors that bring the three components to returns of about 100


class RawInputs(gym.ObservationWrapper):
    """Time `1e4 + 3e4 x`, charge `10^(3 v)`, lengths `500 theta` and `500 omega`, up to 77,785.

    With x, v, theta and omega in units of CartPole's usual range. Normalizing as in
    `(t - 1e4) / 3e4`, `log10(charge) / 3`, `length / 500` gives them back.
    """

    def __init__(self, env: gym.Env) -> None:
        super().__init__(env)
        high = np.full(4, LARGEST, np.float32)
        self.observation_space = spaces.Box(-high, high, dtype=np.float32)

    def observation(self, observation: np.ndarray) -> np.ndarray:
        position, speed, angle, turning = np.asarray(observation, np.float64) / TYPICAL
        raw = np.array(
            [
                TIME_OFFSET + TIME_SIZE * position,
                10.0 ** (CHARGE_DECADES * min(speed, 3.0)),
                LENGTH * angle,
                LENGTH * turning,
            ]
        )
        return raw.clip(-LARGEST, LARGEST).astype(np.float32)


def make_raw_inputs(**kwargs: Any) -> gym.Env:
    """CartPole-v1 with raw inputs."""
    return RawInputs(gym.make("CartPole-v1", disable_env_checker=True, **kwargs).unwrapped)


class ThreeScalesEnv(DoubleIntegratorEnv):
    """DoubleIntegrator with the components terminal, progress and control_effort.

    Args:
        scales: scales of the three; with equal ones their returns have about equal spreads.
    """

    def __init__(
        self, scales: tuple[float, float, float] = (1.0, 1.0, 1.0), render_mode: str | None = None
    ) -> None:
        super().__init__(render_mode)
        if len(scales) != 3:
            raise TypeError(f"scales: three numbers are needed, not {scales}")
        self.factors = [size * scale for size, scale in zip(EQUAL_SIZES, scales, strict=True)]

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        obs, _, terminated, truncated, info = super().step(action)
        parts = info["reward_components"]
        sums = (
            parts["terminal_precision"] + parts["success_bonus"],
            parts["progress"],
            parts["control_effort"],
        )
        scaled = [size * part for size, part in zip(self.factors, sums, strict=True)]
        info["reward_components"] = dict(zip(SCALED_COMPONENTS, scaled, strict=True))
        return obs, sum(scaled), terminated, truncated, info
