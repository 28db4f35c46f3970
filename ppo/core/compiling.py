"""The one place that determines how functions are compiled.

A compiled function is the same Python as the eager one. `fullgraph=True` everywhere: a construct
that would fall back to eager in the middle is an error, not a slow run.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import platform
import re
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

import torch
from torch import Tensor

from ppo.core import torch_internals
from ppo.core.arguments import ByLook, leaves, refill
from ppo.core.capturing import captured, fix_address
from ppo.core.products import faster_products

F = TypeVar("F", bound=Callable[..., Any])

# On a GPU torch counts the graphs of a function over all learners of a process (tests, sweeps).
RECOMPILE_LIMIT = 256

LOOPS_IN_CPP = "2.13"  # before, the calls around a loop could be compiled on some inputs only

# Where ppo/core/products.py has found which library is the faster one.
MEASURED_ON = ("x86_64", "AMD64")


def compiled(function: F, device: torch.device, loops: bool = False) -> F:
    """`function` as one graph; on a GPU it is captured and replayed as a CUDA graph.

    A CUDA graph overwrites its outputs when it is called again: what must outlive the next call is
    cloned by the caller with `keep`.

    Args:
        loops: whether the function holds a loop of torch's own.
    """
    keep_compiled_code()
    if device.type == "cpu":
        _keep_freed_memory()
        # From Python the calls between kernels cost as much as the kernels of a small network.
        options = {"cpp_wrapper": not loops or torch.__version__ >= LOOPS_IN_CPP}
        faster = faster_products() if chooses_products(device) else None
        more = {"post_grad_custom_post_pass": faster} if faster is not None else {}
        return cast(F, FixedGraphs(function, options, more))
    torch_internals.allow_graphs(RECOMPILE_LIMIT)
    whole = torch.compile(function, fullgraph=True, dynamic=False)
    return captured(cast(F, whole), device)


class FixedGraphs(ByLook):
    """A compiled function that finds its graph by what its arguments look like.

    Before every call torch looks through all that the function read when it was compiled: modules,
    settings, globals. For a gradient step on 64 samples that takes as long as a third of the step.
    What a learner reads of these stays as it was built (tests/core/test_fixed_graphs.py lets
    torch look), so that only the arguments need a look: their shapes, types and constants.

    Args:
        options: of torch.compile.
        more: options that go, with a note, where this torch cannot compile with them.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        options: dict[str, Any],
        more: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self._function, self._options, self._more = function, options, more or {}

    def _made(self, args: tuple[Any, ...]) -> Callable[..., Any]:
        """A graph for arguments of this look; by torch.compile alone where nothing else works."""
        options, errors = {**self._options, **self._more}, []
        for more in [self._more, {}] if self._more else [{}]:
            try:
                graph = torch_internals.without_guards(
                    self._fresh(), args, {**self._options, **more}
                )
            except Exception as error:  # the function's own faults torch.compile raises again
                errors.append(error)
                options = {}
                continue
            if graph is None:
                break
            if errors:
                torch_internals.note(torch_internals.PLAIN, errors[0])
            return graph
        if errors:
            torch_internals.note("compiled code is that of torch's defaults", errors[-1])
        return torch.compile(self._fresh(), fullgraph=True, dynamic=False, options=options)

    def _fresh(self) -> types.FunctionType:
        """The function under a code of its own: torch files what it compiles under the code."""
        function = self._function

        def whole(*args: Any) -> Any:
            return function(*args)

        return types.FunctionType(
            whole.__code__.replace(), whole.__globals__, "whole", None, whole.__closure__
        )


def chooses_products(device: torch.device) -> bool:
    """Whether compiled code takes each product to the library that ppo/core/products.py names."""
    known = device.type == "cpu" and platform.machine() in MEASURED_ON
    return known and torch.backends.mkldnn.is_available()


@functools.cache
def _keep_freed_memory() -> None:
    """Tell glibc not to give freed blocks back to the kernel.

    A compiled step frees its buffers and asks for the same ones again. Those above 128 kB would
    come back as pages that the kernel has to fill with zeros first, which takes as long as the
    step itself (measured: 5.1 ms and 2.6 ms for minibatches of 2048). Elsewhere than on glibc
    nothing is done.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    trim_threshold, mmap_threshold = -1, -3
    mallopt(trim_threshold, 2**31 - 1)
    if not mallopt(mmap_threshold, 2**30):
        mallopt(mmap_threshold, 2**25)  # the most that older versions take


def keep(tensors: Any) -> Any:
    """Tensors that the next call of a compiled function cannot overwrite, copied only on a GPU.

    Args:
        tensors: a tensor, or tuples, lists and dicts of them.
    """
    copies = (tensor.clone() if tensor.is_cuda else tensor for tensor in leaves(tensors))
    return refill(tensors, copies)


def fix_addresses(*tensors: Tensor) -> None:
    """Say that these tensors are changed in place and never move, so that CUDA graphs may too."""
    for tensor in tensors:
        if tensor.is_cuda:
            fix_address(tensor)


def obstacle(device: torch.device) -> str | None:
    """Why functions for this device cannot be compiled here; None if they can."""
    if device.type == "cuda":
        return None if torch_internals.has_triton() else "triton is not installed"
    if torch_internals.has_cpp_compiler():
        return None
    return "no C++ compiler was found (install g++ or clang++)"


CACHE = "TORCHINDUCTOR_CACHE_DIR"  # torch's word for its folder of compiled code


def keep_compiled_code() -> None:
    """Have torch keep compiled code among this user's caches, not where it is lost at a restart.

    `$XDG_CACHE_HOME/ppo/compiled`, unless the user has named a folder; torch's own where nothing
    can be written, or where a blank in its name would end in a command line of two files.
    """
    if CACHE in os.environ:
        return
    with contextlib.suppress(OSError, RuntimeError):
        home = os.environ.get("XDG_CACHE_HOME")
        folder = (Path(home) if home else Path.home() / ".cache") / "ppo" / "compiled"
        if not re.fullmatch(r"[\w./\\:@+~-]+", str(folder)):
            return
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            os.environ[CACHE] = str(folder)


class Costs(NamedTuple):
    """Seconds that compiling costs once and saves, or that eager code takes; network 2x64."""

    once: float  # to compile, with an empty cache of compiled code; nothing for eager code
    gradient_step: float
    torch_step: float  # one step of all environments, which are torch functions
    host_step: float  # the same, of others
    batch: float

    def of_a_batch(self, num_steps: int, gradient_steps: int, on_device: bool) -> float:
        """Seconds that a batch counts for.

        Args:
            num_steps: T. on_device: environments are torch functions that compile with the policy.
        """
        step = self.torch_step if on_device else self.host_step
        return self.gradient_step * gradient_steps + step * num_steps + self.batch


# docs/speed.md: on one core of a server of 2024 with torch 2.13, against functions that are
# recorded (ppo/core/recording.py); on an H200 with torch 2.11, against those captured as graphs.
COSTS = {
    "cpu": Costs(50.0, 2.5e-4, 1e-4, 2e-5, 2.2e-3),
    "cuda": Costs(90.0, 4e-4, 8e-5, 0.0, 1e-3),
}
EAGER = Costs(0.0, 8e-4, 3e-4, 1.2e-4, 1e-2)
LOAD = 10.0  # seconds until compiled code runs that another process has put into the cache
MARGIN = 2.0  # a run must save this many times the cost
# Eager batches of so many seconds come first. Compiling takes 50 s, or 12 s where the cache is
# full, and one switch is for both: waiting loses as much as switching late.
EAGERLY = 35.0
SHARE = 4  # of a run, a quarter: what is estimated may be wrong


def repays(
    batches: float,
    num_steps: int,
    gradient_steps: int,
    on_device: bool,
    device: str = "cpu",
    ahead: bool = False,
) -> bool:
    """Whether a run of this length is faster with compilation, by a safe margin.

    Only what compiling saves in every small operation is counted, which does not depend on the
    number of samples; its gain on large batches comes on top.

    Args:
        batches: that graphs would compute. num_steps: T. gradient_steps: of a batch.
        on_device: environments are torch functions that compile with the policy.
        device: the type of the device.
        ahead: another core compiles while the run goes on.
    """
    costs = COSTS.get(device, COSTS["cuda"])
    saved = batches * costs.of_a_batch(num_steps, gradient_steps, on_device)
    return saved > MARGIN * (LOAD if ahead else costs.once)


def eager_batches(
    batches: float, num_steps: int, gradient_steps: int, on_device: bool, multiplications: float
) -> int:
    """How many batches a run on a CPU begins with while its graphs are compiled, at least 1.

    Args:
        batches: of the run.
        multiplications: of a gradient step's samples with weights between hidden layers.
    """
    small = EAGER.of_a_batch(num_steps, gradient_steps, on_device)
    seconds = small + gradient_steps * multiplications * PER_PRODUCT
    return max(1, min(round(EAGERLY / seconds), int(batches / SHARE)))


PER_PRODUCT = 6e-10  # seconds: there and back, of actor and critic
