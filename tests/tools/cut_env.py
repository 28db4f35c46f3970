"""Episodes of known steps, of which some are cut by a fault: `cut_env:Cut-v0`, and vectorized."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv

LENGTH, FAULT = 7, 4


class Cut(gym.Env):
    """Observes [steps, 1]; step t pays t, an episode lasts 7 steps.

    Args:
        how: some episodes (by their seed) fail in step 4 (raise, nan), or have their time limit in
            step 3 (limit), so that the same steps are whole; none fails otherwise.
    """

    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, how: str = "raise") -> None:
        self.how = how

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.bad = seed % 3 == 0 and self.how != "none"
        self.count = 0
        return self._observe(), {}

    def step(self, action):
        self.count += 1
        if self.bad and self.count == FAULT and self.how == "raise":
            raise RuntimeError("simulator lost")
        observation = self._observe()
        if self.bad and self.count == FAULT and self.how == "nan":
            observation[0] = np.nan
        limited = self.bad and self.how == "limit" and self.count == FAULT - 1
        return observation, float(self.count), self.count == LENGTH, limited, {}

    def _observe(self) -> np.ndarray:
        return np.array([self.count, 1.0], np.float32)


class VectorCut(VectorEnv):
    """The whole episodes at once; `same_step` says which of Gymnasium's autoresets."""

    def __init__(self, num_envs: int = 1, same_step: bool = False, how: str = "none") -> None:
        self.num_envs = num_envs
        self.mode = AutoresetMode.SAME_STEP if same_step else AutoresetMode.NEXT_STEP
        self.metadata = {"autoreset_mode": self.mode}
        self.single_observation_space = Cut.observation_space
        self.single_action_space = Cut.action_space
        self.observation_space = gym.vector.utils.batch_space(Cut.observation_space, num_envs)
        self.action_space = gym.vector.utils.batch_space(Cut.action_space, num_envs)

    def reset(self, *, seed=None, options=None):
        self.count, self.over = 0, False
        return self._observe(), {}

    def step(self, actions):
        every = np.ones(self.num_envs, bool)
        if self.over:  # next-step autoreset: a row that is no step
            return self.reset()[0], 0.0 * every, ~every, ~every, {}
        self.count += 1
        reward, self.over = float(self.count) * every, self.count == LENGTH
        observation, infos, ended = self._observe(), {}, every & self.over
        if self.over and self.mode == AutoresetMode.SAME_STEP:
            infos = {"final_obs": observation, "_final_obs": every}
            observation = self.reset()[0]
        return observation, reward, ended, ~every, infos

    def _observe(self) -> np.ndarray:
        return np.tile(np.array([self.count, 1.0], np.float32), (self.num_envs, 1))


if "Cut-v0" not in gym.registry:
    gym.register("Cut-v0", "cut_env:Cut", vector_entry_point="cut_env:VectorCut")
