"""Environments with the mistakes of a first draft: `clumsy_env:Clumsy-v0` and others."""

from __future__ import annotations

import os
import subprocess
from decimal import Decimal

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space


class Converts:
    """Converts itself to an array, as those of JAX do."""

    def __init__(self, value):
        self.value = value

    def __array__(self, dtype=None, copy=None):
        return np.array(self.value, dtype)


class Panic(BaseException):
    """As libraries in Rust raise it."""


class Silent:
    """Cannot show itself."""

    def __repr__(self):
        raise RuntimeError("no words")


# What is shown and paid in place of float32 numbers of shape (2,) and of 1.0, by the mistake.
SHOWN = {
    "tensors": torch.zeros(2),
    "lists": [0.0, 0.0],
    "doubles": np.zeros(2),
    "column": np.zeros((2, 1), np.float32),
    "nothing": None,
    "agents": {"walker_0": np.zeros(2, np.float32)},
    "ragged": [[0.0], [0.0, 0.0]],
    "huge": np.full(2, 1e300),
    "converts": Converts(np.zeros(2, np.float32)),
    "coarse": torch.zeros(2, dtype=torch.bfloat16),
}
PAID = {
    "converts": Converts(1.0),
    "coarse": torch.ones((), dtype=torch.bfloat16),
    "decimal": Decimal("1.0"),
    "digits": 10**400,
    "complex": np.complex64(1 + 1j),
    "duration": np.timedelta64(1, "s"),
    "silent": Silent(),
    "whole": np.int64(1),
    "half": np.float16(1),
    "two_rewards": np.array([1.0, 2.0]),
    "no_reward": None,
}


ENDS = {
    "whole_ends": np.int64,
    "float_ends": float,
    "converts": Converts,
    "nan_ends": lambda end: np.array(np.nan),
    "text_ends": str,
    "reward_ends": lambda end: -0.5 * (1 + end),  # reward and end in each other's place
}


class Box:
    """Looks like a space, as those of the old gym do."""

    shape, dtype = (2,), np.dtype(np.float32)


def box_of(low, high):
    """A Box whose bounds were set after it was made, when nothing checks them."""
    space = spaces.Box(-1, 1, (2,), np.float32)
    space.low[1], space.high[1] = low, high
    return space


# Spaces that are wrong from the beginning, and those that the first reset brings.
SPACES = {
    "old_space": ("observation_space", Box()),
    "upside_down": ("action_space", box_of(2, 1)),
    "nan_bounds": ("observation_space", box_of(np.nan, 1)),
}
MOVED = {
    "moved_space": ("observation_space", spaces.Box(-1, 1, (3,), np.float32)),
    "moved_actions": ("action_space", spaces.Discrete(3)),
    "moved_bounds": ("observation_space", spaces.Box(-2, 1, (2,), np.float32)),
}


class Clumsy(gym.Env):
    """Five steps.

    Args:
        what: the mistake; see the branches below.
    """

    observation_space = spaces.Box(-1, 1, (2,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, what: str = "") -> None:
        self.what = what
        if what == "server":
            self.server = subprocess.Popen(["sleep", "60"])
        if what == "no_file":
            open("/nowhere/prices.csv")  # noqa: SIM115
        if what == "key_in_init":
            self._deeper({}, "goal")
        if what == "type_in_init":
            self._deeper(None, "goal")
        if what == "assert_in_init":
            assert not what, "the map must have a goal"
        if what in SPACES:
            setattr(self, *SPACES[what])

    def close(self):
        if self.what == "exit_in_close":
            raise SystemExit(3)
        if self.what == "key_in_close":
            self._deeper({}, "window")

    def _deeper(self, table, key):
        return table[key]  # the line that is to be named

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = 0
        if self.what in MOVED:
            setattr(self, *MOVED[self.what])
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
        if self.what == "server":
            reward = float(self.server.pid)
        if self.what in ENDS:
            end = ENDS[self.what](end)
        if self.what == "long_error":
            raise ValueError("lines\n" * 10_000)
        if self.what == "panics":
            raise Panic("in a library")
        if self.what == "interrupts" and self.count == 3:
            raise KeyboardInterrupt
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


class Unready(Clumsy):
    """Has spaces after the first reset alone."""

    @property
    def observation_space(self):
        return self._deeper({}, "space") if self.what == "key_in_space" else self.not_set


class Settings(Clumsy):
    """Names that it does not have are looked up in its settings."""

    def __getattr__(self, name):
        if name.startswith("_") or name == "what":
            raise AttributeError(name)
        return self._deeper({}, name)


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


class SeedAlone(Clumsy):
    def reset(self, seed=None):
        return super().reset(seed=seed)


class Narrow(Clumsy):
    """Shows its seed, which it holds in 32 bits with a sign."""

    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float64)

    def reset(self, *, seed=None, options=None):
        self.seed = np.int32(seed)
        return super().reset(seed=seed)

    def _show(self):
        return np.array([self.seed % 1000, self.seed // 1000])


class Samples(Clumsy):
    """Pays its action."""

    action_space = spaces.Discrete(3, start=5, dtype=np.int32)

    def step(self, action):
        assert type(action) is type(self.action_space.sample()), type(action)
        obs, _, *rest = super().step(action)
        return obs, float(action.item()), *rest


if "Side-v0" not in gym.registry:
    gym.register("Side-v0", Clumsy, vector_entry_point="clumsy_env:Side")
for _kind in (Clumsy, Unready, Settings, NoSeed, SeedAlone, Choosing, Samples, Narrow):
    _name = _kind.__name__
    if f"{_name}-v0" not in gym.registry:
        gym.register(f"{_name}-v0", f"clumsy_env:{_kind.__name__}")
        gym.register(f"{_name}Limit-v0", f"clumsy_env:{_kind.__name__}", max_episode_steps=50)
