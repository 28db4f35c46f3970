"""What the checks share: the part under test, and the laws of every part."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from ppo.core.blame import described
from ppo.core.errors import UserError
from ppo.core.imports import is_path
from ppo.core.registry import Part, Registry

Law = Callable[[], None]


def part_of(registry: Registry, kind: Any, kwargs: dict[str, Any]) -> Part:
    """A class, its import path or a registered word, as a part whose mistakes are told.

    Raises:
        UserError: it cannot be imported, or does not derive from the base.
    """
    if isinstance(kind, str):
        return Part(kind, registry.get(kind), kwargs, own=True)
    name = getattr(kind, "__name__", repr(kind))
    return Part(name, registry.checked(kind, name), kwargs, own=True)


def is_shipped(kind: Any) -> bool:
    """Whether a part is named by a registered word; whole runs with it are made in tests/laws."""
    return isinstance(kind, str) and not is_path(kind)


def judge(laws: Iterable[Law]) -> None:
    """Asks every law.

    Raises:
        UserError: with a line for each that is broken.
    """
    broken: list[str] = []
    for law in laws:
        try:
            law()
        except UserError as error:
            broken += error.messages
    if broken:
        raise UserError(*broken)


def same(one: Any, other: Any) -> bool:
    """Whether two results are equal to the bit; NaN equals nothing."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    return all(same(a, b) for a, b in zip(one, other, strict=True))


def compiles(part: Part, function: Callable[..., Any], *args: Any) -> None:
    """The function is one graph, as `system.compile` needs it."""
    torch.compiler.reset()  # parts of one base share a code, which torch compiles a few times only
    try:
        torch.compile(function, fullgraph=True, backend="eager")(*args)
    except Exception as error:
        why = described(error)[:200]
        raise part.error(
            f"cannot be compiled in one piece, which system.compile needs: use functions of torch "
            f"alone and no branch that depends on a number in a tensor ({why})"
        ) from error


def never_waits(part: Part, module: nn.Module, function: Callable[..., Any], *args: Any) -> None:
    """Nothing asks for a number of the device: it would make a GPU wait for the host.

    Args:
        function: of the module, which is moved to the `meta` device, where there are no numbers.
    """
    for name, value in vars(module).items():
        if isinstance(value, torch.Tensor):
            raise part.error(
                f"self.{name} is a plain tensor, which neither moves to the device nor is saved; "
                "use self.register_buffer"
            )
    module.to("meta")
    try:
        function(*(arg.to("meta") for arg in args))
    except Exception as error:
        raise part.error(
            "takes a number out of a tensor (.item(), float, bool, if), which makes a GPU wait, or "
            f"mixes devices: {described(error)[:200]}"
        ) from error


def saves(part: Part, module: nn.Module, fresh: nn.Module, act: Callable[[Any], Any]) -> None:
    """A new one that takes over `state_dict()` does what the old one does."""
    try:
        fresh.load_state_dict(module.state_dict())
    except RuntimeError as error:
        raise part.error(f"its state_dict cannot be loaded: {described(error)[:200]}") from error
    if not same(act(module), act(fresh)):
        raise part.error(
            "forgets something when it is saved: keep what it learns in parameters and what it "
            "remembers in buffers (self.register_buffer)"
        )
