"""Two environments of bsuite's kind (Osband et al. 2020, arXiv 1908.03568), and one without reward.

`small_envs:Catch-v0` and `small_envs:ContextualBandit-v0`; returns lie in [-1, 1] and [0, 1].
`small_envs:SilentCartPole-v0` is CartPole whose rewards are all 0.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

ROWS, COLUMNS = 10, 5
CONTEXTS, ARMS = 8, 5


class Catch(gym.Env):
    """A ball falls one row a step; the paddle on the last row moves left, stays or moves right.

    The observation is the board, [50], 1 at the ball and at the paddle. The only reward is the
    last: 1 for a caught ball, -1 for a missed one.
    """

    observation_space = gym.spaces.Box(0.0, 1.0, (ROWS * COLUMNS,), np.float32)
    action_space = gym.spaces.Discrete(3)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.row, self.ball = 0, int(self.np_random.integers(COLUMNS))
        self.paddle = COLUMNS // 2
        return self._board(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.paddle = min(max(self.paddle + int(action) - 1, 0), COLUMNS - 1)
        self.row += 1
        last = self.row == ROWS - 1
        reward = (1.0 if self.paddle == self.ball else -1.0) if last else 0.0
        return self._board(), reward, last, False, {}

    def _board(self) -> np.ndarray:
        board = np.zeros((ROWS, COLUMNS), np.float32)
        board[self.row, self.ball] = board[ROWS - 1, self.paddle] = 1.0
        return board.reshape(-1)


class ContextualBandit(gym.Env):
    """One decision an episode: each of eight contexts has one arm that pays 1; others pay less."""

    observation_space = gym.spaces.Box(0.0, 1.0, (CONTEXTS,), np.float32)
    action_space = gym.spaces.Discrete(ARMS)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.context = int(self.np_random.integers(CONTEXTS))
        return self._one_hot(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        distance = (int(action) - 3 * self.context) % ARMS
        return self._one_hot(), 1.0 - distance / (ARMS - 1), True, False, {}

    def _one_hot(self) -> np.ndarray:
        return np.eye(CONTEXTS, dtype=np.float32)[self.context]


class Silent(gym.RewardWrapper):
    """Every reward is 0."""

    def reward(self, reward: Any) -> float:
        return 0.0


def silent_cartpole(**kwargs: Any) -> gym.Env:
    return Silent(gym.make("CartPole-v1", **kwargs))


gym.register("SilentCartPole-v0", entry_point=silent_cartpole)
gym.register("Catch-v0", entry_point=Catch)
gym.register("ContextualBandit-v0", entry_point=ContextualBandit)
