"""The T-maze: what is seen in the first step decides what is right in the last (no torch here)."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

FORWARD, LEFT, RIGHT = range(3)
WASTED = -0.05  # reward of a step that does not lead on
CELL = 16  # pixels of a cell in a picture


class TMazeEnv(gym.Env):
    """A corridor of `length` steps with a junction at its end (Bakker 2001).

    Only the first observation shows on which side the reward is. Turning at the junction ends the
    episode with 1 or -1; elsewhere it wastes the step, as going forward does at the junction. A
    policy without memory has an expected return of 0 there and is right half of the time.

    Observations [4]: the cue (-1 left, 1 right, 0 after the first step), whether this is the
    junction, whether this is the start, and 1.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 5}

    def __init__(self, length: int = 10, render_mode: str | None = None) -> None:
        if length < 1:
            raise TypeError(f"length: at least 1 step is needed, not {length}")
        self.length, self.render_mode = length, render_mode
        self.observation_space = spaces.Box(-1.0, 1.0, (4,), np.float32)
        self.action_space = spaces.Discrete(3)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self._side = LEFT if self.np_random.random() < 0.5 else RIGHT
        self._position = self._steps = 0
        return self._observe(), {}

    def _observe(self) -> np.ndarray:
        cue = (0.0, -1.0, 1.0)[self._side] if self._steps == 0 else 0.0
        junction, start = self._position == self.length, self._position == 0
        return np.array([cue, junction, start, 1.0], np.float32)

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self._steps += 1
        at_junction = self._position == self.length
        if at_junction and action != FORWARD:
            right = int(action) == self._side
            return self._observe(), 1.0 if right else -1.0, True, False, {"is_success": right}
        if not at_junction and action == FORWARD:
            self._position += 1
            return self._observe(), 0.0, False, False, {}
        ended = self._steps >= 4 * self.length
        info = {"is_success": False} if ended else {}
        return self._observe(), WASTED, False, ended, info

    def render(self) -> np.ndarray:  # type: ignore[override]
        """[3 * CELL, (length + 1) * CELL, 3] uint8: floor, goal in green, agent in red."""
        cells = np.zeros((3, self.length + 1, 3), np.uint8)
        cells[1] = cells[:, -1] = 160
        cells[0 if self._side == LEFT else 2, -1] = (60, 160, 60)
        cells[1, self._position] = (200, 60, 60)
        return cells.repeat(CELL, 0).repeat(CELL, 1)
