"""Stacked frames are those of the last steps, whatever the environment does with its arrays."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

from ppo.config import EnvConfig
from ppo.core.errors import UserError
from ppo.envs.host.stacking import FrameStack
from ppo.envs.make import make_environments

NUMBERS = spaces.Box(0, 100, (1,), np.float32)
IMAGE = spaces.Box(0, 255, (40, 40, 1), np.uint8)
SHOWN = {
    "numbers": NUMBERS,
    "image": IMAGE,
    "both": spaces.Dict(numbers=NUMBERS, image=IMAGE, kind=spaces.Discrete(3)),
}


class OwnArrays(gym.Env):
    """Shows the number of the step, always in the same arrays."""

    action_space = spaces.Discrete(2)

    def __init__(self, space: gym.Space) -> None:
        self.observation_space = space
        self.shown = space.sample()

    def _show(self):
        parts = self.shown if isinstance(self.shown, dict) else {"numbers": self.shown}
        for part in (p for p in parts.values() if isinstance(p, np.ndarray) and p.shape):
            part[...] = self.count
        return self.shown

    def reset(self, *, seed=None, options=None):
        self.count = 0
        return self._show(), {}

    def step(self, action):
        self.count += 1
        return self._show(), 0.0, False, False, {}


@pytest.mark.parametrize("name", sorted(SHOWN))
def test_frames_of_an_environment_that_reuses_its_arrays_differ(name):
    env = FrameStack(OwnArrays(SHOWN[name]), 4)
    env.reset()
    for _ in range(5):
        observation = env.step(0)[0]
    for part in observation.values() if isinstance(observation, dict) else [observation]:
        if np.ndim(part):
            assert part.reshape(-1, 4)[0].tolist() == [2, 3, 4, 5]


@pytest.mark.parametrize(
    ("space", "observation", "message"),
    [
        (SHOWN["both"], np.zeros(1), "entry '.*' is missing from the observation"),
        (SHOWN["both"], None, "entry '.*' is missing from the observation"),
        (NUMBERS, 0.5, r"declared Box\(0.0, 100.0, \(2,\), float32\), but has shape \(\)"),
        (NUMBERS, "words", "but has dtype <U5"),
        (IMAGE, np.zeros((40, 40), np.uint8), r"but has shape \(40, 40\)"),
    ],
)
def test_an_observation_that_cannot_be_stacked_is_described(space, observation, message):
    class Other(OwnArrays):
        def __init__(self):
            super().__init__(space)

        def step(self, action):
            return observation, 0.0, False, False, {}

    config = EnvConfig(num_envs=1, frame_stack=2)
    with make_environments(config, run_seed=0, device=torch.device("cpu"), env=Other) as envs:
        envs.reset()
        with pytest.raises(UserError, match=f"step 1 of episode 0 .*{message}"):
            envs.step(torch.zeros(1, dtype=torch.int64))
