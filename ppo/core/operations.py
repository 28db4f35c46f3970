"""The operations that a call of a function runs, as a graph."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import Graph, GraphModule, Node
from torch.fx.node import map_aggregate

from ppo.core import torch_internals

aten = torch.ops.aten


def operations(function: Callable[..., Any], tensors: Sequence[Tensor]) -> GraphModule:
    """The operations of one call, in order, the backward pass among them; this call runs them.

    Inputs are `tensors`; others that exist before the call are attributes of the module. `val` in
    the `meta` of a node is the result.

    Raises:
        Exception: it cannot be recorded, since the host looks at a value. What it had changed by
            then is as before.
    """
    graph, module = Graph(), torch.nn.Module()
    seen = _Seen(graph, module)
    for index, tensor in enumerate(tensors):
        seen.result(graph.placeholder(f"arg{index}"), tensor)
    try:
        with torch_internals.watching(seen.run):
            found = function(*tensors)
    except BaseException:
        seen.undo()
        raise
    graph.output(map_aggregate(tuple(found), seen.node))
    return GraphModule(module, graph)


def written(operation: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any]:
    """The tensors, or their nodes, among the arguments whose memory an operation changes."""
    schema = getattr(operation, "_schema", None)
    if schema is None or not schema.is_mutable:
        return []
    found: list[Any] = []
    for place, declared in enumerate(schema.arguments):
        if declared.alias_info is not None and declared.alias_info.is_write:
            given = args[place] if place < len(args) else kwargs.get(declared.name)
            found += given if isinstance(given, (list, tuple)) else [given]
    return [part for part in found if part is not None]


class _Seen:
    """Writes down each operation as it is run."""

    def __init__(self, graph: Graph, module: torch.nn.Module) -> None:
        self.graph, self.module = graph, module
        self.nodes: dict[int, tuple[Node, Tensor]] = {}  # by id; tensors live as long
        self.changed: list[tuple[Tensor, Tensor]] = []  # in place, with what each was

    def run(self, operation: Any, args: Any, kwargs: Any) -> Any:
        """The result of an operation that is called now."""
        if operation is aten.lift_fresh.default:  # what Python made: made again in each call
            operation = aten.clone.default
        self.changed += [(tensor, tensor.clone()) for tensor in written(operation, args, kwargs)]
        found = operation(*args, **kwargs)
        node = self.graph.call_function(
            operation, map_aggregate(args, self.node), map_aggregate(kwargs, self.node)
        )
        self.result(node, found)
        return found

    @torch.no_grad()
    def undo(self) -> None:
        """Puts back what was changed in place."""
        for tensor, before in reversed(self.changed):
            tensor.copy_(before)

    def node(self, value: Any) -> Any:
        """The node of a tensor; another value as it is."""
        if not isinstance(value, Tensor):
            return value
        if id(value) not in self.nodes:
            name = f"tensor{len(self.nodes)}"
            setattr(self.module, name, value)
            self.result(self.graph.get_attr(name), value)
        return self.nodes[id(value)][0]

    def result(self, node: Node, found: Any) -> None:
        """
        Raises:
            TypeError: it is neither a tensor nor several.
        """
        if isinstance(found, Tensor):
            node.meta["val"] = found
            self.nodes[id(found)] = node, found
        elif isinstance(found, (tuple, list)):
            for index, part in enumerate(found):
                self.result(self.graph.call_function(operator.getitem, (node, index)), part)
        elif found is not None:
            raise TypeError(f"{node.target} gives the host a value")
