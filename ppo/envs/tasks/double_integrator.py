"""DoubleIntegrator-v0 as an ordinary Gymnasium environment, and its numbers (no torch here).

`ppo/envs/native/double_integrator.py` is the same environment for N at once; a test steps one
against the other. docs/double_integrator.md describes the task.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

NUM_STEPS = 15
DT = 0.33  # s
MAX_POSITION = 10.0  # m
MAX_VELOCITY = 5.0  # m/s
MAX_CONTROL = 8.0  # m/s^2
START_POSITION = 7.0  # start and target positions are uniform in [-7, 7] m
START_VELOCITY = 1.0  # start and target velocities are uniform in [-1, 1] m/s
SUCCESS_ERROR = 0.5  # final error below which the target counts as reached

COMPONENTS = ("progress", "control_effort", "terminal_precision", "success_bonus")
PROGRESS = 100.0  # per unit by which the error shrinks
EFFORT = 1.0  # per (m/s^2)^2 s
PRECISION = 1000.0  # at the end, times exp(-error)
MISS = 35.0  # at the end, per unit of error
BONUS = 500.0  # at the end, where the target is reached

OBSERVATION_HIGH = np.array(
    [
        MAX_POSITION,
        MAX_VELOCITY,
        MAX_POSITION + START_POSITION,
        MAX_VELOCITY + START_VELOCITY,
        NUM_STEPS * np.float32(DT),  # multiplied as an observation is, so that it is not above
    ],
    np.float32,
)
OBSERVATION_LOW = np.where(np.arange(5) == 4, 0.0, -OBSERVATION_HIGH).astype(np.float32)


class DoubleIntegratorEnv(gym.Env[np.ndarray, np.ndarray]):
    """A point mass is to reach a target position and velocity at a set time with little control.

    Observation [5]: position, velocity, target position - position, target velocity - velocity,
    time left in seconds. Action [1]: acceleration, clipped to [-8, 8] m/s^2.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 3}

    def __init__(self, render_mode: str | None = None) -> None:
        self.observation_space = spaces.Box(OBSERVATION_LOW, OBSERVATION_HIGH)
        self.action_space = spaces.Box(-MAX_CONTROL, MAX_CONTROL, (1,))
        self.render_mode = render_mode
        # position, velocity, target position, target velocity, steps left
        self.state = np.zeros(5, np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        high = np.array([START_POSITION, START_VELOCITY] * 2)
        self.state = np.append(self.np_random.uniform(-high, high), NUM_STEPS).astype(np.float32)
        return self._observe(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        position, velocity, goal, goal_velocity, left = self.state
        limit, dt = np.float32(MAX_CONTROL), np.float32(DT)
        control = np.clip(np.float32(np.asarray(action).reshape(-1)[0]), -limit, limit)
        moved = position + velocity * dt + control * np.float32(0.5 * DT * DT)
        self.state = np.array(
            [
                np.clip(moved, -MAX_POSITION, MAX_POSITION),
                np.clip(velocity + control * dt, -MAX_VELOCITY, MAX_VELOCITY),
                goal,
                goal_velocity,
                left - 1,
            ],
            np.float32,
        )
        before = error_of(position, velocity, goal, goal_velocity)
        after = error_of(*self.state[:4])
        terminated = bool(left <= 1)
        parts = dict.fromkeys(COMPONENTS, 0.0)
        parts["progress"] = PROGRESS * (before - after)
        parts["control_effort"] = -EFFORT * DT * float(control) ** 2
        info: dict[str, Any] = {"reward_components": parts}
        if terminated:
            parts["terminal_precision"] = PRECISION * float(np.exp(-after)) - MISS * after
            parts["success_bonus"] = BONUS * float(after < SUCCESS_ERROR)
            info["is_success"] = after < SUCCESS_ERROR
        return self._observe(), sum(parts.values()), terminated, False, info

    def _observe(self) -> np.ndarray:
        position, velocity, goal, goal_velocity, left = self.state
        return np.array(
            [position, velocity, goal - position, goal_velocity - velocity, left * np.float32(DT)],
            np.float32,
        )

    def render(self) -> np.ndarray | None:
        """[120, 400, 3] uint8: the point (blue), its target (green), its velocity (red)."""
        if self.render_mode != "rgb_array":
            return None
        frame = np.full((120, 400, 3), 255, np.uint8)
        frame[60:62] = 200

        def column(position: float) -> int:
            return int(np.clip((position / MAX_POSITION + 1) * 199.5, 8, 391))

        goal, here = column(self.state[2]), column(self.state[0])
        frame[30:92, goal - 2 : goal + 3] = (60, 170, 90)
        frame[52:70, here - 8 : here + 9] = (50, 90, 200)
        tip = int(np.clip(here + self.state[1] * 12, 0, 399))
        frame[75:79, min(here, tip) : max(here, tip) + 1] = (200, 60, 50)
        return frame


def error_of(position: Any, velocity: Any, goal: Any, goal_velocity: Any) -> float:
    """Distance to the target in position (m) and velocity (m/s), as one number."""
    return float(np.hypot(goal - position, goal_velocity - velocity))
