"""A kind of environment as text, so that a worker process can make it.

A class or a function travels as its name where an import finds it, else by cloudpickle, as one of
`__main__`, of a notebook, or a lambda. The text goes from the trainer to its own workers and is
written nowhere.
"""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Callable
from typing import Any

from gymnasium.envs.registration import EnvSpec

from ppo.core.blame import described
from ppo.core.errors import UserError
from ppo.envs.factory import Factory, Once
from ppo.envs.ids import find_spec

PICKLED = "pickled:here"  # as an entry point


def to_text(spec: EnvSpec | Factory) -> str:
    """
    Raises:
        UserError: it holds something that cannot be copied into another process.
    """
    if isinstance(spec, Factory):
        if isinstance(spec.call, Once):
            raise UserError("env.backend: async: an instance cannot be moved; write sync or auto")
        named = not spec.id.startswith("<")
        return json.dumps({"id": spec.id, "call": None if named else _pickled(spec.id, spec.call)})
    spec = copy.deepcopy(spec)
    spec.vector_entry_point = None
    entry, call = spec.entry_point, None
    if callable(entry):
        name = getattr(entry, "__qualname__", "<locals>")
        if entry.__module__ == "__main__" or "<" in name:
            spec.entry_point, call = PICKLED, _pickled(spec.id, entry)
        else:
            spec.entry_point = f"{entry.__module__}:{name}"
    return json.dumps({"id": spec.id, "spec": spec.to_json(), "call": call})


def from_text(text: str) -> EnvSpec | Factory:
    """What `to_text` was given.

    Raises:
        UserError: it needs something that this process cannot import.
    """
    told = json.loads(text)
    call = None if told["call"] is None else _restored(told["id"], told["call"])
    if "spec" not in told:
        return Factory(told["id"], call) if call else find_spec(told["id"])
    spec = EnvSpec.from_json(told["spec"])
    if call is not None:
        spec.entry_point = call
    return spec


def _pickled(env_id: str, call: Callable[..., Any]) -> str:
    import cloudpickle

    try:
        return base64.b64encode(cloudpickle.dumps(call)).decode()
    except Exception as error:
        raise UserError(
            f"env.backend: async: {env_id} cannot be sent to worker processes "
            f"({described(error)}); write env.backend: sync"
        ) from error


def _restored(env_id: str, data: str) -> Callable[..., Any]:
    import cloudpickle

    try:
        return cloudpickle.loads(base64.b64decode(data))
    except Exception as error:
        raise UserError(
            f"env.backend: async: {env_id} cannot be built in a worker process "
            f"({described(error)}); write env.backend: sync"
        ) from error
