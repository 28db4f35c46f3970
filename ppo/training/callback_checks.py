"""The callbacks of a run, each of which can be called: one that no event reaches is refused."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from ppo.config import TrainConfig
from ppo.core import imports
from ppo.core.blame import brief
from ppo.core.errors import UserError
from ppo.core.registry import Part
from ppo.training.observers import Callback

METHODS = tuple(name for name in vars(Callback) if not name.startswith("_"))
ELSEWHERE = {  # of Stable-Baselines3
    "_on_step": "on_batch",
    "_on_rollout_end": "on_batch",
    "_on_training_start": "on_start",
    "_on_training_end": "on_end",
}


def checked(callbacks: Any) -> list[Any]:
    """The callbacks as a list; one alone needs none.

    Raises:
        UserError: one has no method that is ever called.
    """
    alone = isinstance(callbacks, str | type) or not isinstance(callbacks, Iterable)
    found = [callbacks] if alone or _answers(callbacks) else list(callbacks)
    for callback in found:
        if inspect.isroutine(callback):
            raise UserError(
                f"callbacks: {callback.__name__} is a function; write a class with "
                f"on_batch(trainer, record) ({_methods()})"
            )
        if isinstance(callback, type):
            raise UserError(
                f"callbacks: {callback.__name__} is a class; write {callback.__name__}(...)"
            )
        if not _answers(callback):
            raise UserError(f"callbacks: {_name(callback)} {_none_of(callback)}")
    return found


def named(config: TrainConfig) -> list[Any]:
    """The callbacks that `train.callbacks` names, with the arguments of `train.callbacks_kwargs`.

    Raises:
        UserError: one cannot be imported or made, or has no method that is ever called.
    """
    return [_named(spec, config) for spec in config.callbacks]


def _named(spec: str, config: TrainConfig) -> Any:
    kind, name = imports.load(spec, "train.callbacks"), spec.partition(":")[2]
    given = config.callbacks_kwargs.get(name, {})
    part = Part(f"train.callbacks: {spec}", kind, given, own=True)
    if not isinstance(kind, type):
        raise part.error("must be a class")
    if needed := [word for word in _needed(kind) if word not in given]:
        raise UserError(
            f"{part.place}: it needs {', '.join(needed)}; write "
            f"train.callbacks_kwargs.{name}.{needed[0]}=..."
        )
    if not (_answers(kind) or hasattr(kind, "__getattr__")):
        raise UserError(f"{part.place}: {_none_of(kind)}")
    return part()


def _answers(callback: Any) -> bool:
    """Whether it, an object or a class, has a method that is called, and that does something."""
    if type(callback) is Callback:
        return True  # it does nothing, and says so
    own = (getattr(callback, name, None) for name in METHODS)
    nothing = [getattr(Callback, name) for name in METHODS]
    return any(callable(item) and getattr(item, "__func__", item) not in nothing for item in own)


def _none_of(callback: Any) -> str:
    """What to say of one that no event reaches: the method that was meant, and all there are."""
    own = [
        name for name in dir(callback) if not name.startswith("__") and not hasattr(Callback, name)
    ]
    meant = next((name for name in ELSEWHERE if name in own), None)
    hint = f"; it has {meant}: write {ELSEWHERE[meant]}" if meant else ""
    for name in () if meant else own:
        if near := get_close_matches(name, METHODS, n=1, cutoff=0.7):
            hint = f"; it has {name}: write {near[0]}"
            break
    return f"has none of the methods of a callback{hint} ({_methods()})"


def _methods() -> str:
    return f"methods: {', '.join(METHODS)}; see docs/callbacks.md"


def _name(callback: Any) -> str:
    """The class of a user's object; a plain value as it is."""
    if type(callback).__module__ == "builtins":
        return brief(callback, longest=60)
    return type(callback).__name__


def _needed(kind: type) -> list[str]:
    """The arguments without which it cannot be made."""
    try:
        parameters = inspect.signature(kind).parameters.values()
    except (TypeError, ValueError):  # written in C
        return []
    optional = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [p.name for p in parameters if p.default is p.empty and p.kind not in optional]
