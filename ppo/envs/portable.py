"""A kind of environment as text, so that a worker process can make it.

A factory that an import finds travels as its name, all else by cloudpickle: by name what modules
hold, whole what a script, a notebook or a function does. The text goes from the trainer to its own
workers and is written nowhere.
"""

from __future__ import annotations

import base64
import json

import cloudpickle
from gymnasium.envs.registration import EnvSpec

from ppo.core.blame import described
from ppo.core.errors import UserError
from ppo.envs.factory import Factory, Once
from ppo.envs.ids import find_spec


def to_text(spec: EnvSpec | Factory) -> str:
    """
    Raises:
        UserError: it holds something that cannot be copied into another process.
    """
    if isinstance(spec, Factory):
        if isinstance(spec.call, Once):
            raise UserError("env.backend: async: an instance cannot be moved; write sync or auto")
        if not spec.id.startswith("<"):
            return json.dumps([spec.id, None])
    try:
        return json.dumps([spec.id, base64.b64encode(cloudpickle.dumps(spec)).decode()])
    except Exception as error:
        raise UserError(
            f"env.backend: async: {spec.id} cannot be sent to worker processes "
            f"({described(error)}); write env.backend: sync"
        ) from error


def from_text(text: str) -> EnvSpec | Factory:
    """What `to_text` was given.

    Raises:
        UserError: it needs something that this process cannot import.
    """
    env_id, pickled = json.loads(text)
    if pickled is None:
        return find_spec(env_id)
    try:
        return cloudpickle.loads(base64.b64decode(pickled))
    except Exception as error:
        raise UserError(
            f"env.backend: async: {env_id} cannot be built in a worker process "
            f"({described(error)}); write env.backend: sync"
        ) from error
