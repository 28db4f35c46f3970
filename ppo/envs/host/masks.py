"""The valid actions of an environment's state, in one of the two usual ways (no torch).

`info["action_mask"]`, as Gymnasium's Taxi-v3 gives it with every reset and step, or a method
`action_masks()`, as in sb3-contrib.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym

from ppo.core.errors import UserError
from ppo.envs.observations import mask_size

KEY, METHOD = "action_mask", "action_masks"


def find_source(env: gym.Env, info: dict[str, Any], setting: str, env_id: str) -> str:
    """The source of the environment's masks: info, method, or none.

    Args:
        info: of a reset. setting: `env.action_masks`.

    Raises:
        UserError: it gives masks for actions that cannot be masked.
    """
    if setting == "never":
        return "none"
    source = "method" if env.has_wrapper_attr(METHOD) else "info" if KEY in info else "none"
    if source != "none" and not mask_size(env.action_space):
        raise UserError(
            f"env.action_masks: {env_id} gives masks for actions of {env.action_space}; only "
            "Discrete and MultiDiscrete actions can be masked; env.action_masks: never ignores them"
        )
    return source


def read(env: gym.Env, info: dict[str, Any], source: str) -> Any:
    """The mask of the state that the environment is in.

    Raises:
        ValueError: the mask is missing.
    """
    if source == "method":
        return env.get_wrapper_attr(METHOD)()
    if KEY not in info:
        raise ValueError(f"info[{KEY!r}] is missing, which the first reset gave")
    return info[KEY]
