"""Environments that misbehave on request: `sick_env:Sick-v0`; and healthy ones of odd spaces."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces


class Unpicklable(Exception):
    """An exception that cannot leave its process."""

    def __init__(self) -> None:
        super().__init__("held by a lock")
        self.lock = open(os.devnull)  # noqa: SIM115


class Sick(gym.Env):
    """Counts its steps and does `fault` in step `at` of every episode, or in its reset.

    Args:
        fault: what to do; see `_misbehave` and `_answer`.
        at: step of the episode; 0 is the reset.
        seeds: only in episodes with one of these seeds.
        marker: a file; the fault happens once for each time it can be created.
    """

    def __init__(
        self,
        fault: str = "none",
        at: int = 3,
        length: int = 6,
        seeds: list[int] | None = None,
        marker: str = "",
    ) -> None:
        self.fault, self.at, self.length = fault, at, length
        self.seeds, self.marker = seeds, marker
        self.observation_space = spaces.Box(-40, 40, (3,))
        self.action_space = spaces.Box(-1, 1, (2,))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.seed = seed
        self.count = 0
        self.total = self.np_random.uniform(-1, 1)
        observation = self._observe()
        if self._now():
            self._misbehave()
            if self.fault == "reset_not_a_tuple":
                return observation
            observation, _, _ = self._answer(observation, 0.0)
        return observation, {}

    def step(self, action):
        self.count += 1
        self.total += float(action.sum()) + self.np_random.normal()
        observation, reward = self._observe(), self.total
        info: Any = {}
        if self._now():
            self._misbehave()
            observation, reward, info = self._answer(observation, reward)
        over = self.count >= self.length
        if over and info is not None:
            info["is_success"] = self.total > 0
        return observation, reward, False, over, info

    def _observe(self) -> np.ndarray:
        return np.array([self.count, np.sin(self.total), np.cos(self.total)], np.float32)

    def _now(self) -> bool:
        if self.count != self.at or (self.seeds and self.seed not in self.seeds):
            return False
        if self.marker:
            try:
                os.close(os.open(self.marker, os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                return False
        return True

    def _misbehave(self) -> None:
        if self.fault == "sigkill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.fault == "hang":
            time.sleep(3600)
        if self.fault == "raise":
            raise RuntimeError("the simulator fell over")
        if self.fault == "raise_unpicklable":
            raise Unpicklable
        if self.fault == "exit":
            sys.exit(3)
        if self.fault == "os_exit":
            os._exit(5)
        if self.fault == "sleep":
            time.sleep(0.2)

    def _answer(self, observation: Any, reward: Any) -> tuple[Any, Any, Any]:
        info: Any = {}
        if self.fault == "nan_obs":
            observation[1] = np.nan
        if self.fault == "inf_obs":
            observation = observation.astype(np.float64)
            observation[2] = 1e300  # finite until it is put into float32
        if self.fault == "nan_reward":
            reward = np.nan
        if self.fault == "vector_reward":
            reward = np.ones(3)
        if self.fault == "none_reward":
            reward = None
        if self.fault == "wrong_shape":
            observation = observation[:1]
        if self.fault == "scalar_obs":
            observation = 0.5
        if self.fault == "wrong_dtype":
            observation = np.array(["a", "b", "c"])
        if self.fault == "none_info":
            info = None
        if self.fault == "outside":
            observation[1] = 99.0
        return observation, reward, info


class Parts(gym.Env):
    """Rewards with components; `wrong` breaks a rule of theirs."""

    observation_space = spaces.Box(-1, 1, (1,))
    action_space = spaces.Discrete(2)

    def __init__(self, wrong: str = "") -> None:
        self.wrong = wrong

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.count += 1
        parts = {"pace": float(self.count), "cost": -0.5 * action}
        reward = sum(parts.values())
        if self.wrong == "sum" and self.count == 3:
            reward += 1
        if self.wrong == "raise" and self.count == 3:
            raise RuntimeError("broken")
        if self.wrong == "missing" and self.count == 3:
            del parts["cost"]
        if self.wrong == "more" and self.count == 3:
            parts["bonus"] = 0.0
        if self.wrong == "arrays":  # which is not wrong
            parts["pace"] = np.array([parts["pace"]])
        if self.wrong == "nested":
            parts["cost"] = {"fuel": parts["cost"]}
        if self.wrong == "alone":  # which is not wrong
            parts = {"reward": reward}
        info: dict[str, Any] = {"reward_components": parts}
        if self.wrong == "late" and self.count == 1:
            info = {}
        if self.wrong == "none":  # which is not wrong
            info = {"reward_components": None}
        return np.zeros(1, np.float32), reward, False, False, info


class Refusing(Parts):
    """Of 50 actions one is valid, and the others raise, as PettingZoo's environments do."""

    action_space = spaces.Discrete(50)

    def __init__(self, tells: bool = True) -> None:
        super().__init__()
        self.tells = tells

    def _info(self) -> dict[str, Any]:
        mask = np.zeros(50, np.int8)
        mask[7] = 1
        return {"action_mask": mask} if self.tells else {}

    def reset(self, *, seed=None, options=None):
        return super().reset(seed=seed)[0], self._info()

    def step(self, action):
        if action != 7:
            raise ValueError(f"action {action} is not allowed")
        observation, reward, ended, limited, info = super().step(action)
        return observation, reward, ended, limited, info | self._info()


SPACES = {
    "discrete": spaces.Discrete(5, start=2),
    "multi_discrete": spaces.MultiDiscrete([2, 3, 4]),
    "square": spaces.MultiDiscrete(np.array([[2, 3], [4, 5]])),
    "multi_binary": spaces.MultiBinary([2, 3]),
    "image": spaces.Box(0, 255, (4, 5, 3), np.uint8),
    "matrix": spaces.Box(-1, 1, (2, 3), np.float64),
    "integers": spaces.Box(-5, 5, (3,), np.int64),
    "dict": spaces.Dict(
        {
            "b": spaces.Box(-1, 1, (2,)),
            "a": spaces.Discrete(3),
            "inner": spaces.Tuple([spaces.MultiBinary(2), spaces.Box(0, 255, (2, 2), np.uint8)]),
        }
    ),
    "tuple": spaces.Tuple([spaces.Discrete(2), spaces.Box(-1, 1, (1,))]),
    "text": spaces.Dict({"words": spaces.Text(8), "x": spaces.Box(-1, 1, (2,))}),
    "sequence": spaces.Sequence(spaces.Box(-1, 1, (2,))),
    "only_text": spaces.Text(8),
    "stamp": spaces.Dict(
        {"time": spaces.Box(1.7e9, 1.8e9, (1,), np.float64), "x": spaces.Box(-1, 1, (2,))}
    ),
}


class Spaced(gym.Env):
    """Observes samples of one space, wants actions of another."""

    def __init__(self, observation: str = "dict", action: str = "discrete") -> None:
        self.observation_space = SPACES[observation]
        self.action_space = SPACES[action]

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = 0
        return self._sample(), {}

    def step(self, action):
        assert self.action_space.contains(action), f"{action!r} is not in {self.action_space}"
        self.count += 1
        return self._sample(), 1.0, self.count == 7, False, {}

    def _sample(self):
        self.observation_space.seed(int(self.np_random.integers(2**31)))
        self.last = self.observation_space.sample()
        return self.last


for name, kind in {
    "Sick-v0": Sick,
    "Parts-v0": Parts,
    "Refusing-v0": Refusing,
    "Spaced-v0": Spaced,
}.items():
    if name not in gym.registry:
        gym.register(name, entry_point=f"sick_env:{kind.__name__}")
