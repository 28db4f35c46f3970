"""Which library computes the matrix products of a compiled graph on a CPU.

torch gives every float32 product to MKL. oneDNN, which torch holds as well, computes large ones up
to twice as fast (one core of an EPYC with AVX-512, 2048 x 64 by 64 x 64: 164 us and 78 us; with 64
rows MKL is ahead, 6 us and 12 us), and MKL is slow where the right side has few columns (64 x 2048
by 2048 x 4: 105 us; the same transposed: 18 us). The rules below are fixed, not measured anew on
each machine, so that a run gives the same bits whenever it is repeated.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.fx import Graph, Node

from ppo.core.torch_internals import graph_pass, onednn_linear, onednn_works

aten = torch.ops.aten

LARGE = 512 * 64 * 64  # multiplications from which oneDNN is faster
LONG = 256  # terms of a sum from which the order of a thin product matters
THIN = 16  # columns below which it does


def faster_products() -> Any:
    """What rewrites the products of every compiled graph; None where torch cannot."""
    return graph_pass(rewrite, __file__) if onednn_works() else None


def rewrite(graph: Graph) -> None:
    """Rewrites the products of a graph, of which nothing else changes."""
    for node in list(graph.nodes):
        if node.target is aten.addmm.default and not node.kwargs:
            bias, left, right = node.args
            wide = value(bias).shape == value(right).shape[1:]
            if wide and is_large(value(left), value(right)):
                replace(graph, node, linear, left, right, bias)
        elif node.target is aten.mm.default:
            left, right = node.args
            if is_large(value(left), value(right)):
                replace(graph, node, linear, left, right, None)
            elif is_thin(value(left), value(right)):
                replace(graph, node, turned, left, right)


def value(node: Any) -> Tensor:
    """Shape, strides and type of what a node will give, as a tensor without data."""
    return node.meta["val"]


def is_large(left: Tensor, right: Tensor) -> bool:
    return is_ours(left) and left.shape[0] * left.shape[1] * right.shape[1] >= LARGE


def is_thin(left: Tensor, right: Tensor) -> bool:
    """The gradient of a first layer: a sum over many samples, few columns on the right."""
    rows, terms = left.shape
    return is_ours(left) and terms >= LONG and 1 < right.shape[1] < THIN <= rows


def is_ours(tensor: Tensor) -> bool:
    return tensor.dtype == torch.float32 and tensor.device.type == "cpu"


def linear(graph: Graph, left: Node, right: Node, bias: Node | None) -> Node:
    """`left @ right + bias` by oneDNN."""
    weight = call(graph, aten.permute.default, right, [1, 0])
    return call(graph, onednn_linear(), left, weight, bias)


def turned(graph: Graph, left: Node, right: Node) -> Node:
    """`left @ right` as the transpose of `right^T @ left^T`."""
    sides = (call(graph, aten.permute.default, side, [1, 0]) for side in (right, left))
    return call(graph, aten.permute.default, call(graph, aten.mm.default, *sides), [1, 0])


def call(graph: Graph, target: Any, *args: Any) -> Node:
    node = graph.call_function(target, args)
    node.meta["val"] = target(*(value(arg) if isinstance(arg, Node) else arg for arg in args))
    return node


def replace(graph: Graph, node: Node, build: Any, *args: Any) -> None:
    """Puts what `build` makes in the place of `node`."""
    with graph.inserting_before(node):
        node.replace_all_uses_with(build(graph, *args))
    graph.erase_node(node)
