"""What a function that is made faster for its arguments has to know of them: their look.

Arguments are tensors and constants in tuples, lists and dicts of any depth.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

F = TypeVar("F", bound=Callable[..., Any])


class ByLook(ABC):
    """A function of positional arguments that has something faster for those of each look."""

    def __init__(self) -> None:
        self._graphs: dict[Any, Callable[..., Any]] = {}

    def graph(self, *args: Any) -> Callable[..., Any]:
        """What is called for arguments of this look, for calls with nothing else."""
        key = self._key(args)
        if key not in self._graphs:
            self._graphs[key] = self._made(args)
        return self._graphs[key]

    def __call__(self, *args: Any) -> Any:
        return self.graph(*args)(*args)

    def _key(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return torch.is_grad_enabled(), look(args)

    @abstractmethod
    def _made(self, args: tuple[Any, ...]) -> Callable[..., Any]:
        """What is faster for arguments that look like these."""


def settled(function: F, *args: Any) -> F:
    """`function` for many calls whose arguments all look like these: they are looked at once."""
    return cast(F, function.graph(*args)) if isinstance(function, ByLook) else function


def look(value: Any, places: dict[int, int] | None = None) -> Any:
    """What a graph depends on in an argument: the form of a tensor, the value of anything else.

    Args:
        places: number by identity of the tensors seen so far. A graph for one tensor given twice
            is none for two tensors.
    """
    places = {} if places is None else places
    kind = type(value)
    if kind is Tensor:
        place = places.setdefault(id(value), len(places))
        return value.dtype, value.shape, value.stride(), place
    if isinstance(value, (tuple, list)):
        return kind, *(look(part, places) for part in value)
    if kind is dict:
        return kind, *((name, look(part, places)) for name, part in value.items())
    return kind, value


def leaves(value: Any) -> list[Tensor]:
    """The tensors in tuples, lists and dicts, in order."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = [*value.values()]
    parts = value if isinstance(value, (tuple, list)) else []
    return [leaf for part in parts for leaf in leaves(part)]


def refill(form: Any, tensors: Iterator[Tensor]) -> Any:
    """`form` with these tensors in place of its own."""
    if isinstance(form, Tensor):
        return next(tensors)
    if isinstance(form, dict):
        return {name: refill(part, tensors) for name, part in form.items()}
    if isinstance(form, (tuple, list)):
        parts = [refill(part, tensors) for part in form]
        kind: Any = type(form)
        return kind(*parts) if hasattr(form, "_fields") else kind(parts)
    return form
