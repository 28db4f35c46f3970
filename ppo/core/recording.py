"""Eager functions replayed without Python, to the bit, where nothing is compiled.

A gradient step of a small network is four hundred operations of a microsecond each, and Python and
autograd take three times as long as the operations; what is done once a batch is alike. So a
function that is called often is recorded once, as the list of the operations that it runs (the
backward pass among them), and the list is run by torch's own interpreter from then on. No compiler
is needed. The same kernels run in the same order, so every number is that of the eager function:
the first replays are compared with it bit by bit, and a function that differs, or that cannot be
recorded, stays eager.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from ppo.core import torch_internals
from ppo.core.arguments import ByLook, leaves, refill
from ppo.core.capturing import captured
from ppo.core.compiling import compiled
from ppo.core.operations import operations
from ppo.core.simplify import simplify

F = TypeVar("F", bound=Callable[..., Any])

CALLS = 200  # before a function is recorded, which takes about as long as these save
FEW = 20  # the same where more than CALLS are to come after these
CHECKS = 3  # replays that are compared with the function
# Bytes of arguments: to copy them takes memory, and Python's share of the time is small.
LARGE = 2**27


def faster(graphs: bool, device: torch.device, calls: float) -> Callable[[F], F]:
    """What makes a function faster: a compiled graph, or a record.

    Args:
        calls: that are to come where it is recorded.
    """
    if graphs:
        return functools.partial(compiled, device=device)
    return functools.partial(recorded, device=device, expected=calls)


def recorded(function: F, device: torch.device, expected: float = 0.0) -> F:
    """`function`, replayed once it has been called often; on a GPU as a CUDA graph.

    What it reads beside its arguments may change in place only, as with compiled functions.

    Args:
        expected: how many calls are to come. It decides when the function is recorded, which
            changes no bit.
    """
    if device.type == "cpu":
        return cast(F, Recorded(function, expected))
    return captured(function, device)


class Recorded(ByLook):
    """A function with a record for arguments of each look.

    Args:
        expected: how many calls are to come.
    """

    def __init__(self, function: Callable[..., Any], expected: float = 0.0) -> None:
        super().__init__()
        self._function = function
        self._calls = min(FEW, CALLS) if expected > FEW + CALLS else CALLS

    def _made(self, args: tuple[Any, ...]) -> _Record:
        return _Record(self._function, self._calls)


class _Record:
    """A function for arguments of one look: counted, recorded, compared, then replayed."""

    def __init__(self, function: Callable[..., Any], calls: int) -> None:
        self._function, self._run = function, self._count
        self._calls_left, self._checks = calls, 0
        self._replay: _Replay | None = None

    def __call__(self, *args: Any) -> Any:
        return self._run(*args)

    def _count(self, *args: Any) -> Any:
        self._calls_left -= 1
        if self._calls_left > 0:
            return self._function(*args)
        self._run = self._function  # for good, should this raise an error
        if sum(tensor.nbytes for tensor in leaves(args)) > LARGE:
            return self._function(*args)
        try:
            graph, found = _trace(self._function, args)
        except Exception:  # a value is looked at by the host, or torch cannot record any more
            return self._function(*args)
        # From here on the call has been made, with all that it changes.
        with contextlib.suppress(Exception):
            self._replay = _replay_of(graph, args, found)
        if self._replay is not None:
            self._run = self._compare
        return found

    def _compare(self, *args: Any) -> Any:
        """The function's own result, beside that of the replay on copies of all it reads."""
        assert self._replay is not None
        inputs = [*leaves(args), *self._replay.reads]
        copied = _copies(inputs)
        replayed = self._replay.outputs(*copied)
        found = self._function(*args)
        pairs = zip([*leaves(found), *inputs], [*replayed, *copied], strict=True)
        if not all(_same_bits(one, other) for one, other in pairs):
            self._run = self._function
            return found
        self._checks += 1
        if self._checks == CHECKS:
            self._run = self._replay
        return found


class _Replay:
    """The recorded operations, called like the function.

    Args:
        outputs: the tensors of the arguments, then `reads` -> the tensors of the result.
        reads: what the function reads and changes beside its arguments.
        form: a result, whose constants every other has too.
    """

    def __init__(
        self, outputs: Callable[..., tuple[Tensor, ...]], reads: list[Tensor], form: Any
    ) -> None:
        self.outputs, self.reads, self.form = outputs, reads, form
        self._is_plain = type(form) is tuple and all(isinstance(part, Tensor) for part in form)

    def __call__(self, *args: Any) -> Any:
        found = self.outputs(*leaves(args), *self.reads)
        return found if self._is_plain else refill(self.form, iter(found))


def _trace(function: Callable[..., Any], args: tuple[Any, ...]) -> tuple[GraphModule, Any]:
    """The operations of one call, and its result.

    Raises:
        Exception: the function cannot be recorded.
    """
    found: Any = None

    def flat(*tensors: Tensor) -> list[Tensor]:
        nonlocal found
        found = function(*refill(args, iter(tensors)))
        return leaves(found)

    return operations(flat, leaves(args)), found


def _replay_of(graph: GraphModule, args: tuple[Any, ...], form: Any) -> _Replay | None:
    """None where a replay would not be the function: it draws random numbers of its own."""
    if any(_is_random(node) for node in graph.graph.nodes):
        return None
    reads = simplify(graph)
    run = torch_internals.without_python(graph, _copies([*leaves(args), *reads]))
    return _Replay(run, reads, form)


def _is_random(node: Node) -> bool:
    return torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ())


def _copies(tensors: list[Tensor]) -> list[Tensor]:
    """Copies that share memory with each other where the tensors do."""
    memory: dict[int, Any] = {}
    copied = []
    for tensor in tensors:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in memory:
            memory[storage.data_ptr()] = storage.clone()
        view = tensor.new_empty(0)
        view.set_(
            memory[storage.data_ptr()], tensor.storage_offset(), tensor.shape, tensor.stride()
        )
        copied.append(view)
    return copied


def _same_bits(one: Tensor, other: Tensor) -> bool:
    bits = [t.detach().contiguous().reshape(-1).view(torch.uint8) for t in (one, other)]
    return one.dtype == other.dtype and one.shape == other.shape and torch.equal(*bits)
