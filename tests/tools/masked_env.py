"""Environments that refuse what their masks rule out: `masked_env:MaskedInfo-v0` and others."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces


class Masked(gym.Env):
    """Random masks; an action that the last one ruled out raises.

    Args:
        nvec: sizes of the choices; one choice is Discrete.
        start: of Discrete. length: steps of an episode.
        broken: what is wrong with the masks: "", empty, size, or missing in step 2.
        image: observe an image of 40 x 40 beside the numbers.
    """

    def __init__(
        self,
        nvec: tuple[int, ...] = (5,),
        start: int = 0,
        length: int = 7,
        broken: str = "",
        image: bool = False,
    ) -> None:
        self.sizes, self.length, self.broken, self.image = nvec, length, broken, image
        self.first = start
        self.action_space = (
            spaces.Discrete(nvec[0], start=start) if len(nvec) == 1 else spaces.MultiDiscrete(nvec)
        )
        numbers = spaces.Box(-1, 1, (3,), np.float32)
        picture = spaces.Box(0, 255, (40, 40, 3), np.uint8)
        self.observation_space = (
            spaces.Dict({"image": picture, "numbers": numbers}) if image else numbers
        )

    def _observe(self) -> Any:
        self.mask = np.concatenate([self._choice(size) for size in self.sizes])
        numbers = self.np_random.uniform(-1, 1, 3).astype(np.float32)
        if not self.image:
            return numbers
        picture = self.np_random.integers(0, 256, (40, 40, 3), np.uint8)
        return {"image": picture, "numbers": numbers}

    def _choice(self, size: int) -> np.ndarray:
        mask = self.np_random.integers(0, 2, size).astype(np.int8)
        mask[self.np_random.integers(size)] = 1
        return mask

    def _told(self) -> np.ndarray:
        if self.broken == "empty":
            return np.zeros_like(self.mask)
        return self.mask[1:] if self.broken == "size" else self.mask

    def _info(self) -> dict[str, Any]:
        return {}

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.steps = 0
        return self._observe(), self._info()

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        starts = np.concatenate([[0], np.cumsum(self.sizes)[:-1]])
        chosen = starts + np.asarray(action).reshape(-1) - self.first
        if not self.mask[chosen].all():
            raise RuntimeError(f"action {action} is ruled out by {self.mask}")
        self.steps += 1
        ended = self.steps >= self.length
        obs = self._observe()
        if ended:
            self.mask[:] = 0  # as many environments do where nothing can be done any more
        return obs, float(np.sum(action)), ended and bool(action is not None), False, self._info()


class MaskedInfo(Masked):
    """Tells its masks in info["action_mask"]."""

    def _info(self) -> dict[str, Any]:
        if self.broken == "missing" and self.steps == 2:
            return {}
        return {"action_mask": self._told()}


class MaskedMethod(Masked):
    """Tells its masks by `action_masks()`."""

    def action_masks(self) -> np.ndarray:
        return self._told().astype(bool)


class MaskedTuple(MaskedInfo):
    """Tells a mask for each choice, as `MultiDiscrete.sample(mask=...)` takes them."""

    def _told(self) -> Any:
        return tuple(np.split(self.mask, np.cumsum(self.sizes)[:-1]))


class MaskedLists(MaskedTuple):
    """The same as lists, which are of several lengths."""

    def _told(self) -> Any:
        return [part.tolist() for part in super()._told()]


class MaskedObservation(Masked):
    """Tells its masks as an entry of the observation."""

    def __init__(self, nvec: tuple[int, ...] = (5,)) -> None:
        super().__init__(nvec)
        parts = {"numbers": self.observation_space, "action_mask": spaces.MultiBinary(sum(nvec))}
        self.observation_space = spaces.Dict(parts)

    def _observe(self) -> Any:
        return {"numbers": super()._observe(), "action_mask": self.mask.copy()}


class Property(Masked):
    """Tells its masks as an attribute; the first action is never valid."""

    def __init__(self) -> None:
        super().__init__((2,))

    @property
    def action_masks(self) -> np.ndarray:
        return np.array([0, 1], np.int8)

    def step(self, action: Any) -> Any:
        self.mask = self.action_masks
        return super().step(action)


class Anything(Masked):
    """Has every attribute, and nothing in it."""

    def __getattr__(self, name: str) -> None:
        if name[:1] == "_" or name == "mask":
            raise AttributeError(name)

    def step(self, action: Any) -> Any:
        self.mask = np.ones(5, np.int8)
        return super().step(action)


class MaskedBox(MaskedInfo):
    """Has masks for actions that have none."""

    def __init__(self) -> None:
        super().__init__()
        self.action_space = spaces.Box(-1, 1, (2,), np.float32)


_KINDS = (MaskedInfo, MaskedMethod, MaskedTuple, MaskedLists, MaskedObservation, MaskedBox)
_KINDS += (Property, Anything)  # type: ignore[assignment]
for _kind in _KINDS:
    if f"{_kind.__name__}-v0" not in gym.registry:
        gym.register(id=f"{_kind.__name__}-v0", entry_point=f"masked_env:{_kind.__name__}")
