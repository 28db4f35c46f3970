"""Functions whose kernels a GPU replays by itself, as CUDA graphs; compiled ones and eager ones.

Without graphs the host starts every kernel, which takes it longer than most kernels take. torch's
own way to graphs (the option triton.cudagraphs) works for compiled functions alone, and each call
looks through all that the function read when it was compiled, and copies every argument. Here a
call looks at its arguments alone, copies those that are new, and starts the graph.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

from ppo.core import torch_internals
from ppo.core.arguments import ByLook, leaves, refill

F = TypeVar("F", bound=Callable[..., Any])
Outputs = list[Tensor]
FIXED = "ppo_fixed_address"  # name of the mark


def fix_address(tensor: Tensor) -> None:
    """Promise that a tensor is changed in place and never moves: graphs read and write it there."""
    setattr(tensor, FIXED, True)


def captured(function: F, device: torch.device) -> F:
    """`function`, on a GPU as a CUDA graph; what it returns is overwritten by its next call.

    It waits for nothing, and what it reads beside its arguments is changed in place only.
    """
    return cast(F, Captured(function)) if device.type == "cuda" else function


def on_a_gpu(run: Callable[[], Outputs]) -> tuple[Callable[[], None], Outputs]:
    """The kernels of `run`, to be started as a whole, and the tensors they write; none is run.

    Raises:
        Exception: the host waits for the device in `run`.
    """
    try:
        graph, outputs = _graph(run)
    except Exception:
        # torch's generator of random numbers believes in the capture that has failed, and draws
        # none, until another one has ended.
        with contextlib.suppress(Exception):
            _graph(lambda: [torch.zeros(1, device="cuda")])
        raise
    return graph.replay, outputs


def _graph(run: Callable[[], Outputs]) -> tuple[torch.cuda.CUDAGraph, Outputs]:
    graph = torch.cuda.CUDAGraph()
    with (
        torch.cuda.stream(torch.cuda.current_stream()),  # also when there is no graph
        torch.cuda.graph(graph, capture_error_mode="thread_local"),
    ):
        outputs = run()
    return graph, outputs


class Captured(ByLook):
    """A function whose second call with arguments of a look records it, for all later ones.

    The first call runs it as it is, which makes ready what a graph must find ready. A function
    that cannot be recorded, since it waits for the device, goes on as it is.

    Args:
        capture: records what it is given without an effect; another one in tests.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        capture: Callable[[Callable[[], Outputs]], tuple[Callable[[], None], Outputs]] = on_a_gpu,
    ) -> None:
        super().__init__()
        self._function, self._capture = function, capture

    def _key(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        where = (tensor.data_ptr() for tensor in leaves(args) if _is_fixed(tensor))
        return *super()._key(args), *where

    def _made(self, args: tuple[Any, ...]) -> _Capture:
        return _Capture(self._function, self._capture)


class _Place:
    """Where a graph reads an argument, the one of this number among the tensors given."""

    def __init__(self, argument: int, tensor: Tensor) -> None:
        self._argument = argument
        self.tensor = torch.empty_strided(
            tensor.shape, tensor.stride(), dtype=tensor.dtype, device=tensor.device
        )
        self.tensor.requires_grad_(tensor.requires_grad)
        self._last: Callable[[], Tensor | None] = lambda: None  # what was copied,
        self._changes: int | None = None  # and how often it had changed

    def fill(self, given: list[Tensor]) -> None:
        """Copies the argument, unless it is that of the last call and has not changed since."""
        tensor = given[self._argument]
        changes = torch_internals.changes(tensor)
        if self._last() is not tensor or self._changes != changes or changes is None:
            _span(self.tensor).copy_(_span(tensor), non_blocking=True)
            self._last, self._changes = weakref.ref(tensor), changes


class _Capture:
    """A function for arguments of one look: run, recorded, then replayed."""

    def __init__(self, function: Callable[..., Any], capture: Callable[..., Any]) -> None:
        self._function, self._capture = function, capture
        self._run = self._first
        self._places: list[_Place] = []
        self._replay: Callable[[], None] = lambda: None
        self._result: Any = None

    def __call__(self, *args: Any) -> Any:
        return self._run(*args)

    def _first(self, *args: Any) -> Any:
        self._run = self._record
        return self._function(*args)

    def _record(self, *args: Any) -> Any:
        given = leaves(args)
        seen: dict[int, Tensor] = {}
        for number, tensor in enumerate(given):
            if id(tensor) in seen:
                continue
            seen[id(tensor)] = tensor
            if not _is_fixed(tensor):
                self._places.append(_Place(number, tensor))
                seen[id(tensor)] = self._places[-1].tensor
        inputs = refill(args, iter([seen[id(tensor)] for tensor in given]))
        form: Any = None

        def run() -> Outputs:
            nonlocal form
            form = self._function(*inputs)
            return leaves(form)

        self._fill(given)
        try:
            self._replay, outputs = self._capture(run)
        except Exception as error:  # nothing was run
            name = getattr(self._function, "__qualname__", "a function")
            torch_internals.note(f"{name} runs on the GPU without a CUDA graph", error)
            self._run = self._function
            return self._function(*args)
        self._result = refill(form, iter([tensor.detach() for tensor in outputs]))
        self._run = self._again
        self._replay()
        return self._result

    def _again(self, *args: Any) -> Any:
        self._fill(leaves(args))
        self._replay()
        return self._result

    def _fill(self, given: list[Tensor]) -> None:
        for place in self._places:
            place.fill(given)


def _is_fixed(tensor: Tensor) -> bool:
    return isinstance(tensor, nn.Parameter) or hasattr(tensor, FIXED)


def _span(tensor: Tensor) -> Tensor:
    """The memory of a tensor from its first to its last entry, whatever lies between."""
    if not tensor.numel():
        return tensor.detach().reshape(0)
    last = sum((size - 1) * step for size, step in zip(tensor.shape, tensor.stride(), strict=True))
    return tensor.detach().as_strided((last + 1,), (1,))
