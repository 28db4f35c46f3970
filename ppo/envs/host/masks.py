"""Which actions are valid now, asked of an environment in one of the three usual ways (no torch).

`info["action_mask"]`, as Gymnasium's Taxi-v3 gives it with every reset and step; a method
`action_masks()`, as sb3-contrib asks for it, or an attribute of this name; or an entry
`action_mask` of a Dict observation, as RLlib and PettingZoo have it. Such an entry stays part of
what the policy observes.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

from ppo.core.errors import UserError
from ppo.envs.observations import choices, entry_at, flat_mask, mask_size

KEY, METHOD = "action_mask", "action_masks"
BITS = (gym.spaces.Box, gym.spaces.MultiBinary)


class Raised(Exception):
    """The environment's own method failed; `inner` is what it raised."""

    def __init__(self, inner: BaseException) -> None:
        super().__init__(str(inner))
        self.inner = inner


def find_source(env: gym.Env, info: dict[str, Any], setting: str, env_id: str) -> str:
    """How the environment tells its masks: info, method, observation, or none.

    Args:
        info: what a reset gave. setting: `env.action_masks`.

    Raises:
        UserError: it gives masks for actions that cannot be masked.
    """
    if setting == "never":
        return "none"
    has_method = env.has_wrapper_attr(METHOD) and env.get_wrapper_attr(METHOD) is not None
    source = "method" if has_method else "info" if KEY in info else "none"
    if source == "none" and in_observation(env.observation_space, env.action_space):
        return "observation"
    if source != "none" and not mask_size(env.action_space):
        raise UserError(
            f"env.action_masks: {env_id} gives masks for actions of {env.action_space}; only "
            "Discrete and MultiDiscrete actions can be masked; env.action_masks: never ignores them"
        )
    return source


def sample(space: Any, valid: np.ndarray) -> Any:
    """A random action, from the generator of `space`.

    Args:
        valid: [M] which are.
    """
    parts = np.split(valid.astype(np.int8), np.cumsum(choices(space)[0])[:-1])
    if isinstance(space, gym.spaces.Discrete):
        return space.sample(mask=parts[0])
    drawn = [int(space.np_random.choice(np.flatnonzero(part))) for part in parts]
    return (np.reshape(drawn, space.shape) + space.start).astype(space.dtype)


def in_observation(space: gym.Space, action_space: gym.Space) -> bool:
    """Whether an entry of the observation is a mask of these actions; it may be stacked."""
    size = mask_size(action_space)
    if not size or not isinstance(space, gym.spaces.Dict) or KEY not in space.spaces:
        return False
    part = space[KEY]
    entries = int(np.prod(part.shape)) if isinstance(part, BITS) else 0
    return entries > 0 and entries % size == 0


def of_observation(observation: Any, action_space: gym.Space) -> Any:
    """The mask in an observation; of stacked ones the last is that of now.

    Raises:
        ValueError: there is none.
    """
    return np.ravel(entry_at(observation, (KEY,)))[-mask_size(action_space) :]


def read(env: gym.Env, observation: Any, info: dict[str, Any], source: str) -> np.ndarray:
    """[M] bool: the mask of the state that the environment is in.

    Raises:
        ValueError: there is none this time, or it does not fit.
        Raised: the environment's own method failed.
    """
    if source == "method":
        try:
            found = env.get_wrapper_attr(METHOD)
            found = found() if callable(found) else found
        except (Exception, SystemExit) as error:
            raise Raised(error) from error
    elif source == "observation":
        found = of_observation(observation, env.action_space)
    elif KEY not in info:
        raise ValueError(f"info[{KEY!r}] is missing, which the first reset gave")
    else:
        found = info[KEY]
    return flat_mask(env.action_space, found)
