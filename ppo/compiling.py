"""The one place that says how functions are compiled.

A compiled function is the same Python as the eager one. `fullgraph=True` everywhere: a construct
that would fall back to eager in the middle is an error, not a slow run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

F = TypeVar("F", bound=Callable[..., Any])

# Several learners in one process (tests, sweeps) each compile the same functions once.
RECOMPILE_LIMIT = 256


def compiled(function: F, device: torch.device) -> F:
    """`function` as one graph; on a GPU it is captured and replayed as a CUDA graph.

    A CUDA graph overwrites its outputs when it is called again: what must outlive the next call is
    cloned by the caller with `keep`.
    """
    torch._dynamo.config.recompile_limit = RECOMPILE_LIMIT
    torch._dynamo.config.accumulated_recompile_limit = 4 * RECOMPILE_LIMIT
    # On a CPU the calls between kernels are compiled too: from Python they cost as much as the
    # kernels of a small network.
    options = {"triton.cudagraphs": True} if device.type == "cuda" else {"cpp_wrapper": True}
    return torch.compile(function, fullgraph=True, dynamic=False, options=options)


def keep(tensors: Any) -> Any:
    """Tensors that the next call of a compiled function cannot overwrite, copied only on a GPU."""
    return torch.utils._pytree.tree_map_only(
        Tensor, lambda tensor: tensor.clone() if tensor.is_cuda else tensor, tensors
    )


def fix_addresses(*tensors: Tensor) -> None:
    """Say that these tensors are changed in place and never move, so that CUDA graphs may too."""
    for tensor in tensors:
        if tensor.is_cuda:
            torch._dynamo.mark_static_address(tensor)
