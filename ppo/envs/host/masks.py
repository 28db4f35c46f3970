"""Which actions are valid now, asked of an environment in one of the three usual ways (no torch).

`info["action_mask"]`, as Gymnasium's Taxi-v3 gives it with every reset and step; a method
`action_masks()`, as sb3-contrib asks for it, or an attribute of this name; or an entry
`action_mask` of a Dict observation, as RLlib and PettingZoo have it. Such an entry stays part of
what the policy observes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np

from ppo.core.blame import raised
from ppo.core.errors import UserError
from ppo.envs.entries import choices
from ppo.envs.observations import entry_at

KEY, METHOD = "action_mask", "action_masks"
BITS = (gym.spaces.Box, gym.spaces.MultiBinary)


class Raised(Exception):
    """The environment's own method failed; `inner` is what it raised."""

    def __init__(self, inner: BaseException) -> None:
        super().__init__(str(inner))
        self.inner = inner


def size_of(space: gym.Space) -> int:
    """M, entries of a mask of valid actions; 0 where actions cannot be masked.

    As in sb3-contrib: one per action of Discrete; those of MultiDiscrete follow one another.
    """
    return sum(choices(space)[0])


def flat(space: gym.Space, mask: Any) -> np.ndarray:
    """[M] bool: a mask of any of the forms in use; each choice has a valid action.

    Args:
        mask: one array of M entries in any shape, or a tuple or list with one for each choice, as
            Gymnasium's `MultiDiscrete.sample(mask=...)` takes it.

    Raises:
        ValueError: it has another size, or leaves one of the choices nothing.
    """
    sizes, _ = choices(space)
    parts = list(_mask_parts(mask))
    whole = np.concatenate(parts) if parts else np.zeros(0)
    valid = whole != 0
    # What is added to logits, 0 and -inf, means the contrary.
    if whole.dtype.kind not in "biuf" or whole.size != sum(sizes) or (whole != valid).any():
        raise ValueError(f"the action mask must have {sum(sizes)} entries of 0 and 1, got {mask!r}")
    if len(parts) == len(sizes) and [part.size for part in parts] != sizes:
        raise ValueError(f"the masks of the choices must have {sizes} entries, got {mask!r}")
    starts = np.cumsum([0, *sizes[:-1]])
    left = np.logical_or.reduceat(valid, starts)
    if not left.all():
        which = f" in choice {int(np.argmin(left))}" if len(sizes) > 1 else ""
        raise ValueError(f"the action mask leaves no action that is valid{which}")
    return valid


def _mask_parts(mask: Any) -> Iterator[np.ndarray]:
    """Flat arrays, one for each innermost list."""
    if isinstance(mask, tuple | list):
        if any(isinstance(part, tuple | list) or np.ndim(part) for part in mask):
            for part in mask:
                yield from _mask_parts(part)
            return
    array = np.asarray(mask)
    if array.dtype == object and array.ndim:  # of arrays of several sizes
        yield from _mask_parts(array.tolist())
        return
    yield array.reshape(-1)


def find_source(env: gym.Env, info: dict[str, Any], setting: str, env_id: str) -> str:
    """How the environment tells its masks: info, method, observation, or none.

    Args:
        info: what a reset gave. setting: `env.action_masks`.

    Raises:
        UserError: it gives masks for actions that cannot be masked, or cannot be asked.
    """
    if setting == "never":
        return "none"
    try:
        has_method = env.has_wrapper_attr(METHOD) and env.get_wrapper_attr(METHOD) is not None
    except Exception as error:
        raise UserError(
            f"env.action_masks: {env_id}, asked for {METHOD}, {raised(error)}; what it does not "
            "have is an AttributeError; env.action_masks: never does not ask"
        ) from error
    source = "method" if has_method else "info" if KEY in info else "none"
    if source == "none" and in_observation(env.observation_space, env.action_space):
        return "observation"
    if source != "none" and not size_of(env.action_space):
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
    size = size_of(action_space)
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
    return np.ravel(entry_at(observation, (KEY,)))[-size_of(action_space) :]


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
    return flat(env.action_space, found)
