"""Rows of arrays as actions of Gymnasium spaces."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from ppo.core.errors import UserError
from ppo.envs.entries import num_categories, refuse_bounds


class ActionDecoder:
    """Rows of an array as actions of a space.

    Raises:
        UserError: the space is not Box, Discrete, MultiDiscrete or MultiBinary, has no entries,
            bounds that hold nothing, or more values than a network can have outputs.
    """

    def __init__(self, space: gym.Space, env_id: str) -> None:
        self.space = space
        if not isinstance(
            space, spaces.Box | spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary
        ):
            raise UserError(
                f"env.id: {env_id}: an action space of {type(space).__name__} cannot be acted in "
                "(supported: Box, Discrete, MultiDiscrete, MultiBinary); wrap the environment in "
                "gymnasium.wrappers.TransformAction that turns it into one of these"
            )
        if 0 in (space.shape or ()):
            raise UserError(f"env.id: {env_id}: the action space {space} has no entries")
        refuse_bounds(space, f"env.id: {env_id}: the action space")
        if isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
            where = f"env.id: {env_id}: the action"
            num_categories(space, where, "split it into several choices (MultiDiscrete)")
        self.is_discrete = isinstance(space, spaces.Discrete)
        self.shape: tuple[int, ...] = tuple(space.shape or ())
        self.dtype = np.dtype(np.float32 if isinstance(space, spaces.Box) else np.int64)
        self._env_dtype = np.dtype(space.dtype)
        self._bounds = (space.low, space.high) if isinstance(space, spaces.Box) else None

    def array(self, actions: np.ndarray) -> np.ndarray:
        """N actions [N, *shape], each in its space, to the nearest number that is.

        An entry is of the type that `space.sample()` gives, such as np.int64 for Discrete, and of
        memory of its own: an environment that keeps or changes its action affects nothing else.
        """
        if self._bounds is None:
            return actions.astype(self._env_dtype)
        if self._env_dtype.kind == "f":
            # In the space's own dtype: a bound that float32 does not hold is not overstepped.
            return actions.astype(self._env_dtype).clip(*self._bounds)
        return self._integers(np.rint(actions.astype(np.float64)))

    def _integers(self, wanted: np.ndarray) -> np.ndarray:
        """Whole numbers in the space's dtype; beyond its range there is nothing to cast."""
        assert self._bounds is not None
        low, high = (np.broadcast_to(side, wanted.shape) for side in self._bounds)
        found = np.where(wanted >= high.astype(np.float64), high, low)
        inside = (wanted > low.astype(np.float64)) & (wanted < high.astype(np.float64))
        found[inside] = wanted[inside].astype(self._env_dtype)
        return found
