"""Every private name of torch that this program uses, each with a way to do without it.

torch renames what is private without notice. So nothing private is imported when this module is:
each function below asks for its names when it is called, and gives None, or does nothing, where
this torch has them no more. The run is slower then, not wrong, and `NOTES` holds the reason.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor
from torch.fx import Graph

NOTES: list[str] = []  # what this process does without, and why; each line once


def note(without: str, error: BaseException) -> None:
    """Put down what is done without, once."""
    reason = (str(error).splitlines() or [""])[0][:120]
    line = f"torch {torch.__version__}: {without} ({type(error).__name__}: {reason})"
    if line not in NOTES:
        NOTES.append(line)


def private(module: str, name: str, without: str) -> Any:
    """A private name of torch; None, with a note of what is done `without` it, where it is gone."""
    try:
        return getattr(_import(module), name)
    except (ImportError, AttributeError) as error:
        note(without, error)
        return None


def _import(module: str) -> Any:
    return importlib.import_module(module)


def load_compiler() -> None:
    """Import what compiles before it is needed; without its name, it comes when it is needed."""
    try:
        _import("torch._dynamo")
    except ImportError as error:
        note("the compiler is loaded late", error)


def allow_graphs(limit: int) -> None:
    """Let a function have this many graphs, and all functions together four times as many."""
    config = private("torch._dynamo", "config", "functions of many shapes may run eagerly")
    for name, value in (("recompile_limit", limit), ("accumulated_recompile_limit", 4 * limit)):
        if config is not None and hasattr(config, name):
            setattr(config, name, value)


def changes(tensor: Tensor) -> int | None:
    """How often a tensor was changed in place, through views of it too; None: nobody knows."""
    return getattr(tensor, COUNTED, None)


COUNTED = "_version"


def has_triton() -> bool:
    """Whether functions can be compiled for a GPU."""
    ask = private("torch.utils._triton", "has_triton", "triton is looked for by its name")
    return ask() if ask is not None else importlib.util.find_spec("triton") is not None


def has_cpp_compiler() -> bool:
    """Whether functions can be compiled for a CPU.

    torch's own answer takes seconds, because it loads the compiler; the one that it would find
    first is tried without.
    """
    usual = "clang++" if sys.platform == "darwin" else "g++"
    if sys.platform != "win32" and _starts(os.environ.get("CXX") or usual):
        return True
    without = "the C++ compiler is looked for by its name"
    find = private("torch._inductor.cpp_builder", "get_cpp_compiler", without)
    missing = private("torch._inductor.exc", "InvalidCxxCompiler", without)
    if find is None or missing is None:
        names = (os.environ.get("CXX", "g++"), "clang++")
        return any(shutil.which(name) for name in names)
    try:
        find()
    except missing:
        return False
    return True


def _starts(program: str) -> bool:
    try:
        found = subprocess.run([program, "--version"], capture_output=True, timeout=60)
    except (OSError, subprocess.SubprocessError, ValueError):
        return False
    return found.returncode == 0


def scan() -> Callable[..., Any] | None:
    """The loop that may stand in a graph, one that the cache of compiled code keeps.

    torch leaves graphs with this loop out of its cache, although the loop's body is part of the
    cache's key (tests/core/test_torch_internals.py).
    """
    without = "rollouts are compiled anew in each run"
    known = getattr(private("torch._inductor", "config", without), CACHEABLE, None)
    if isinstance(known, dict):
        known["torch.ops.higher_order.scan"] = "body in the key"
    return private("torch._higher_order_ops.scan", "scan", "rollouts are compiled without a loop")


CACHEABLE = "unsafe_marked_cacheable_functions"
PLAIN = "products stay with the library that torch chooses"


def by_onednn(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`x @ weight^T + bias`: [N, inputs], [outputs, inputs], [outputs] -> [N, outputs]."""
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


@functools.cache
def onednn_linear() -> Any:
    """oneDNN's linear layer as an operation that may stand in a graph.

    torch's own, mkldnn::_linear_pointwise, is compiled with constant weights alone.

    Raises:
        Exception: this torch lacks a part of it.
    """
    ir, lowering, mkldnn_ir = (
        _import(f"torch._inductor.{name}") for name in ("ir", "lowering", "mkldnn_ir")
    )
    torch.library.define("ppo::linear", "(Tensor x, Tensor weight, Tensor? bias) -> Tensor")
    torch.library.impl("ppo::linear", "CPU")(by_onednn)
    torch.library.register_fake("ppo::linear")(lambda x, w, b: x.new_empty(len(x), len(w)))
    operation = torch.ops.ppo.linear.default

    def lower(x: Any, weight: Any, bias: Any) -> Any:
        sides = [ir.ExternKernel.realize_input(side) for side in (x, weight)]
        size = [x.get_size()[0], weight.get_size()[0]]
        layout = ir.FixedLayout(torch.device("cpu"), x.get_dtype(), size)
        with_bias = [*sides, ir.ExternKernel.realize_input(bias)] if bias is not None else sides
        constants = ["none", [-1], ""] if bias is not None else [None, "none", [-1], ""]
        made = mkldnn_ir.LinearUnary(layout, with_bias, constants)
        return ir.TensorBox.create(mkldnn_ir._create_output_node(made))

    lowering.register_lowering(operation, type_promotion_kind=None)(lower)
    return operation


@functools.cache
def graph_pass(rewrite: Callable[[Graph], None], *files: str) -> Any:
    """`rewrite` as the last pass over every graph that is compiled; None where there is no such.

    Args:
        files: the sources that a compiled graph depends on beside torch.
    """
    module = "torch._inductor.custom_graph_pass"
    base, digest = (
        private(module, name, PLAIN) for name in ("CustomGraphPass", "get_hash_for_files")
    )
    if base is None or digest is None:
        return None

    class Rewrite(base):  # type: ignore[misc, valid-type]
        def __call__(self, graph: Graph) -> None:
            rewrite(graph)

        def uuid(self) -> Any:
            return digest((*files, __file__))

    return Rewrite()


@functools.cache
def onednn_works() -> bool:
    """Whether this torch gives a product to oneDNN and gets the right one back."""
    x, weight = torch.arange(6.0).view(3, 2), torch.arange(8.0).view(4, 2)
    bias = torch.arange(4.0)
    try:
        onednn_linear()
        right = torch.equal(by_onednn(x, weight, bias), x @ weight.t() + bias)
    except Exception as error:  # whatever a later torch raises
        note(PLAIN, error)
        return False
    if not right:
        note(PLAIN, ValueError("a product of oneDNN is wrong"))
    return right


def without_guards(
    function: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]
) -> Callable[..., Any] | None:
    """`function` compiled for arguments like these, which a call does not check; None without.

    Nothing of `function` is run.
    """
    fixed = {**options, "guard_filter_fn": lambda entries: [False] * len(entries)}
    backend = _cached(options)
    how: Any = {"options": fixed}
    if backend is not None:
        how = {"backend": backend, "options": {"guard_filter_fn": fixed["guard_filter_fn"]}}
    compiling: Any = torch.compile(function, fullgraph=True, dynamic=False, **how)
    try:
        graph = compiling.aot_compile((args, {}))
        graph.disable_guard_check()
    except AttributeError as error:
        note("compiled functions look at all they read before each call", error)
        return None
    return graph


def watching(see: Callable[[Any, Any, Any], Any]) -> AbstractContextManager[Any]:
    """While it is entered, torch calls `see` with the operation, args and kwargs of each operation
    that it would run, and takes its result.

    Raises:
        Exception: this torch has no such thing.
    """
    base = _import("torch.utils._python_dispatch").TorchDispatchMode

    def dispatch(self: Any, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return see(operation, args, kwargs or {})

    # Else torch imports its compiler, which takes a second, to keep it away from the function.
    setattr(dispatch, "__dynamo_disable", dispatch)  # noqa: B010
    watch: AbstractContextManager[Any] = type("Watch", (base,), {"__torch_dispatch__": dispatch})()
    return watch


def without_python(
    graph: Callable[..., Any], tensors: Sequence[Tensor]
) -> Callable[..., tuple[Tensor, ...]]:
    """`graph` for torch's own interpreter of operations; it is run once, on `tensors`.

    Raises:
        Exception: this torch has no such interpreter.
    """
    optimizes, optimize = (
        getattr(_import("torch._C"), f"_{verb}_graph_executor_optimize") for verb in ("get", "set")
    )
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # it is said to go, and then a run does without it
        script: Any = torch.jit.trace(
            lambda *args: tuple(graph(*args)), tuple(tensors), check_trace=False
        )

    # Else each operation would look for gradients to record first.
    below: Any = getattr(torch._C, "_AutoDispatchBelowAutograd", contextlib.nullcontext)

    def run(*args: Tensor) -> tuple[Tensor, ...]:
        before = optimizes()
        optimize(False)  # operations that are merged would round otherwise
        try:
            with below():
                return script(*args)
        finally:
            optimize(before)

    without_autograd = torch.no_grad()(run)
    return lambda *args: (without_autograd if torch.is_grad_enabled() else run)(*args)


def spelled_out(operation: Any, args: Sequence[Any]) -> Callable[..., Any]:
    """An operation with constants that the interpreter takes in a text only, such as [True, False].

    Args:
        args: of the operation, the names of tensors among them.

    Returns:
        A function of these tensors, in their order.
    """
    names = [arg for arg in args if isinstance(arg, str)]
    inside = ", ".join(arg if isinstance(arg, str) else repr(arg) for arg in args)
    called = f"torch.ops.{str(operation).removesuffix('.default')}({inside})"
    text = f"def call({', '.join(names)}):\n    return {called}\n"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        script: Any = torch.jit.CompilationUnit(text).call

    def call(*tensors: Tensor) -> Any:
        return script(*tensors)

    return call


def _cached(options: dict[str, Any]) -> Callable[..., Any] | None:
    """Inductor with its cache on disk, which `aot_compile` does without; None where it must.

    A graph of `aot_compile` can be written to a file, and for that it is compiled anew. Here none
    is, so the cache serves: a start with a full one takes a third of the time.
    """
    without = "compiled code of former runs is not found again"
    base = private("torch._dynamo.aot_compile_types", "SerializableCallable", without)
    inductor = private("torch", "_TorchCompileInductorWrapper", without)
    config = private("torch._functorch", "config", without)
    if base is None or inductor is None or config is None:
        return None

    class Kept(base):  # type: ignore[misc, valid-type]
        """A compiled graph that is never written to a file."""

        def __init__(self, graph: Callable[..., Any]) -> None:
            self.graph = graph

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            return self.graph(*args, **kwargs)

        @classmethod
        def serialize_compile_artifacts(cls, graph: Any) -> bytes:
            raise NotImplementedError

        @classmethod
        def deserialize_compile_artifacts(cls, data: bytes) -> Any:
            raise NotImplementedError

    compile_it = inductor(None, options, False)
    wanted = {
        "bundled_autograd_cache": False,
        "bypass_autograd_cache_key": False,
        "force_autograd_cache": False,
        "strict_autograd_cache": False,
        "autograd_cache_allow_custom_autograd_functions": True,  # their bodies are in the key
    }
    patch = {name: value for name, value in wanted.items() if hasattr(config, name)}

    def backend(graph: Any, inputs: Any) -> Any:
        graph._backend_id = None  # of this process alone, and part of the cache's key
        with config.patch(patch):
            return Kept(compile_it(graph, inputs))

    return backend
