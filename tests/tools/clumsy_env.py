"""Environments with the mistakes of a first draft: `clumsy_env:Clumsy-v0` and others."""

from __future__ import annotations

import os

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

# What is shown and paid in place of float32 numbers of shape (2,) and of 1.0, by the mistake.
SHOWN = {
    "tensors": torch.zeros(2),
    "lists": [0.0, 0.0],
    "doubles": np.zeros(2),
    "column": np.zeros((2, 1), np.float32),
    "nothing": None,
}
PAID = {
    "whole": np.int64(1),
    "half": np.float16(1),
    "two_rewards": np.array([1.0, 2.0]),
    "no_reward": None,
}


class Box:
    """Looks like a space, as those of the old gym do."""

    shape, dtype = (2,), np.dtype(np.float32)


class Clumsy(gym.Env):
    """Five steps.

    Args:
        what: the mistake; see the branches below.
    """

    observation_space = spaces.Box(-1, 1, (2,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, what: str = "") -> None:
        self.what = what
        if what == "no_file":
            open("/nowhere/prices.csv")  # noqa: SIM115
        if what == "key_in_init":
            self._deeper({}, "goal")
        if what == "type_in_init":
            self._deeper(None, "goal")
        if what == "assert_in_init":
            assert not what, "the map must have a goal"
        if what == "old_space":
            self.observation_space = Box()

    def _deeper(self, table, key):
        return table[key]  # the line that is to be named

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = 0
        if self.what == "key_in_reset":
            self._deeper({}, "start")
        shown = self._show()
        return shown if self.what == "reset_alone" else (shown, {})

    def _show(self):
        if self.what == "tensor_with_gradient":
            return torch.zeros(2, requires_grad=True)
        return SHOWN.get(self.what, np.zeros(2, np.float32))

    def step(self, action):
        self.count += 1
        reward, end, limit = 1.0, self.count == 5, False
        if self.what == "prints":
            print("action", action)
            os.write(1, b"from a library of C\n")
        if self.what == "key_in_step":
            self._deeper({}, "goal")
        if self.what in ("tensors", "tensor_with_gradient"):
            asks = self.what == "tensor_with_gradient"
            reward, end = torch.ones(1, requires_grad=asks), torch.tensor(end)
        if self.what == "arrays":
            reward, end, limit = np.array([reward]), np.array([end]), np.array([limit])
        if self.what == "two_ends":
            end = np.array([end, end])
        if self.what == "four_values":
            return self._show(), reward, end, {}
        info = None if self.what == "no_info" else {}
        return self._show(), PAID.get(self.what, reward), end, limit, info


class Choosing(Clumsy):
    """Its masks fail, or are wrong, in the step that `at` says."""

    def __init__(self, what: str = "", at: int = 0) -> None:
        super().__init__(what)
        self.at = at

    def action_masks(self):
        if self.count == self.at and self.what == "key_in_masks":
            self._deeper({}, "goal")
        if self.count == self.at and self.what == "value_in_masks":
            raise ValueError("no such choice")
        return np.ones(2, np.int8)


class Side(VectorEnv):
    """Several at once; fails in one of its methods, as `what` says."""

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}

    def __init__(self, num_envs: int = 1, what: str = "") -> None:
        self.num_envs, self.what = num_envs, what
        self.single_observation_space = Clumsy.observation_space
        self.single_action_space = Clumsy.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._fail("init")

    def _fail(self, where):
        if self.what == f"key_in_{where}":
            {}["goal"]  # noqa: B018
        if self.what == f"type_in_{where}":
            where + 1

    def reset(self, *, seed=None, options=None):
        self._fail("reset")
        return np.zeros((self.num_envs, 2), np.float32), {}

    def step(self, actions):
        self._fail("step")
        none = np.zeros(self.num_envs, bool)
        if self.what == "four_values":
            return np.zeros((self.num_envs, 2), np.float32), none, none, {}
        return np.zeros((self.num_envs, 2), np.float32), none, none, none, {}


class NoSeed(Clumsy):
    def reset(self):
        return super().reset()


if "Side-v0" not in gym.registry:
    gym.register("Side-v0", Clumsy, vector_entry_point="clumsy_env:Side")
for _name, _kind in {"Clumsy": Clumsy, "NoSeed": NoSeed, "Choosing": Choosing}.items():
    if f"{_name}-v0" not in gym.registry:
        gym.register(f"{_name}-v0", f"clumsy_env:{_kind.__name__}")
        gym.register(f"{_name}Limit-v0", f"clumsy_env:{_kind.__name__}", max_episode_steps=50)
