"""Recorded operations made fewer, with the same bits.

Autograd records what it needs for gradients of gradients, and computes again what it has computed
before. Each rule here leaves out operations, or the conversion of a constant, and every number that
is still computed is computed by the same kernel from the same numbers.
"""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import Tensor
from torch.fx import Graph, GraphModule, Node

from ppo.core import torch_internals
from ppo.core.operations import written

aten = torch.ops.aten
WITH_A_NUMBER = ("mul", "add", "sub", "div", "eq", "ne", "lt", "le", "gt", "ge")


def simplify(module: GraphModule) -> list[Tensor]:
    """Makes inputs of what a graph reads beside its arguments, and simplifies it.

    Returns:
        The tensors that it reads, in the order of the inputs that follow the arguments.
    """
    reads = Reads(module)
    graph = module.graph
    _forget_autograd(graph)
    graph.eliminate_dead_code()
    _undo_pairs(graph)
    reads.take_views()
    reads.take_numbers()
    _merge(graph)
    graph.eliminate_dead_code()
    found = reads.used()
    _spell_out(graph)
    module.recompile()
    return found


class Reads:
    """The inputs of a graph beside its arguments: tensors that change in place only."""

    def __init__(self, module: GraphModule) -> None:
        self.graph = module.graph
        self.last = [node for node in self.graph.nodes if node.op == "placeholder"][-1]
        self.tensors: dict[Node, Tensor] = {}
        by_id: dict[int, Node] = {}
        for node in [node for node in self.graph.nodes if node.op == "get_attr"]:
            tensor = getattr(module, str(node.target))
            if id(tensor) not in by_id:
                by_id[id(tensor)] = self._input(tensor.detach())
            self._replace(node, by_id[id(tensor)])

    def take_views(self) -> None:
        """Views of what is read, made once: the memory stays where it is."""
        views: dict[Any, Node] = {}
        for node in list(self.graph.nodes):
            if not _is_view(node) or node.args[0] not in self.tensors:
                continue
            key = node.target, repr(node.args), repr(node.kwargs)
            if key not in views:
                tensor, *rest = node.args
                views[key] = self._input(node.target(self.tensors[tensor], *rest, **node.kwargs))
            self._replace(node, views[key])

    def take_numbers(self) -> None:
        """Numbers as tensors of the type in which they are used: else each use converts them."""
        numbers: dict[Any, Node] = {}
        for node in self.graph.nodes:
            operation = _with_a_number(node)
            if operation is None:
                continue
            number, dtype = float(node.args[1]), _type_of(node.args[0])
            key = repr(number), dtype  # 0.0 == -0.0
            if key not in numbers:
                numbers[key] = self._input(torch.tensor(number, dtype=dtype))
            node.target, node.args = operation, (node.args[0], numbers[key])

    def used(self) -> list[Tensor]:
        """The tensors that are still read, and no inputs for the others."""
        for node in [node for node in self.tensors if not node.users]:
            self.graph.erase_node(node)
            del self.tensors[node]
        return list(self.tensors.values())

    def _input(self, tensor: Tensor) -> Node:
        with self.graph.inserting_after(self.last):
            self.last = self.graph.placeholder(f"read_{len(self.tensors)}")
        self.last.meta["val"] = tensor
        self.tensors[self.last] = tensor
        return self.last

    def _replace(self, node: Node, other: Node) -> None:
        node.replace_all_uses_with(other)
        self.graph.erase_node(node)


def _forget_autograd(graph: Graph) -> None:
    for node in list(graph.nodes):
        if node.target in (aten.detach.default, aten.alias.default):
            node.replace_all_uses_with(node.args[0])
            graph.erase_node(node)


def _undo_pairs(graph: Graph) -> None:
    """x for the transpose of its transpose and for its first power, where nothing changes it."""
    changed = _changed(graph)
    for node in list(graph.nodes):
        if node.target is aten.t.default and node.args[0].target is aten.t.default:
            node.replace_all_uses_with(node.args[0].args[0])
        elif node.target is aten.pow.Tensor_Scalar and node.args[1] == 1:
            memory, same = _memory(node.args[0]), _type_of(node) == _type_of(node.args[0])
            if same and memory.op != "placeholder" and not {node, memory} & changed:
                node.replace_all_uses_with(node.args[0])


def _merge(graph: Graph) -> None:
    """One operation for all equal ones, as far as nothing that they read was changed between."""
    changed = _changed(graph)
    known: dict[Any, Node] = {}
    for node in list(graph.nodes):
        if written := _written(node):
            known = {
                key: n for key, n in known.items() if not any(_may_read(n, w) for w in written)
            }
        elif node.op == "call_function" and _memory(node) not in changed:
            first = known.setdefault((node.target, repr(node.args), repr(node.kwargs)), node)
            if first is not node:
                node.replace_all_uses_with(first)
                graph.erase_node(node)


def _spell_out(graph: Graph) -> None:
    for node in graph.nodes:
        if any(_is_flags(arg) for arg in node.args):
            args = [arg.name if isinstance(arg, Node) else arg for arg in node.args]
            node.target = torch_internals.spelled_out(node.target, args)
            node.args = tuple(node.all_input_nodes)


def _is_flags(arg: Any) -> bool:
    return isinstance(arg, (list, tuple)) and any(isinstance(part, bool) for part in arg)


def _with_a_number(node: Node) -> Any:
    """The operation on two tensors in place of one on a tensor of floats and a number, or None."""
    if node.op != "call_function" or len(node.args) != 2 or node.kwargs:
        return None
    tensor, number = node.args
    packet: Any = getattr(node.target, "overloadpacket", None)
    name = getattr(packet, "__name__", "").removesuffix("_")
    floats = isinstance(tensor, Node) and _type_of(tensor) in (torch.float32, torch.float64)
    if name not in WITH_A_NUMBER or not floats or type(number) not in (int, float):
        return None
    return packet.Tensor


def _type_of(node: Node) -> torch.dtype | None:
    return getattr(node.meta.get("val"), "dtype", None)


def _changed(graph: Graph) -> set[Node]:
    """Nodes whose memory is changed in place."""
    return {place for node in graph.nodes for place in _written(node)}


def _memory(node: Node) -> Node:
    """The node that made the memory of a node's result."""
    while node.op == "call_function" and node.args and isinstance(node.args[0], Node):
        if node.target is not operator.getitem and not _shares(node):
            break
        node = node.args[0]
    return node


def _may_read(node: Node, place: Node) -> bool:
    """Whether an operation may read memory that `place` made: inputs may share theirs."""
    found = {_memory(part) for part in node.all_input_nodes}
    shared = place.op == "placeholder" and any(part.op == "placeholder" for part in found)
    return shared or place in found


def _is_view(node: Node) -> bool:
    returns = getattr(getattr(node.target, "_schema", None), "returns", [])
    one = [str(value.type) for value in returns] == ["Tensor"] and len(node.all_input_nodes) == 1
    return one and _shares(node) and not _written(node)


def _shares(node: Node) -> bool:
    """Whether the result lies in the memory of the first argument."""
    returns = getattr(getattr(node.target, "_schema", None), "returns", [])
    return any(value.alias_info is not None for value in returns)


def _written(node: Node) -> set[Node]:
    """Nodes whose memory an operation changes."""
    return {_memory(part) for part in written(node.target, node.args, node.kwargs)}
