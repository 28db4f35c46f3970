"""Rewritten matrix products are the same products, and only those meant are rewritten."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from ppo.core.compiling import chooses_products, compiled
from ppo.core.products import rewrite

needs_onednn = pytest.mark.skipif(
    not chooses_products(torch.device("cpu")),
    reason="products stay as they are on this machine",
)
aten = torch.ops.aten


def tensor(*size: int) -> Tensor:
    return torch.randn(*size, generator=torch.Generator().manual_seed(sum(size)))


def layer(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return aten.addmm(bias, x, weight.t())


def product(a: Tensor, b: Tensor) -> Tensor:
    return aten.mm(a, b)


def weight_gradient(a: Tensor, b: Tensor) -> Tensor:
    return aten.mm(a.t(), b)


LARGE = [
    (layer, (tensor(600, 64), tensor(64, 64), tensor(64))),
    (product, (tensor(600, 64), tensor(64, 80))),
    (weight_gradient, (tensor(600, 64), tensor(600, 80))),
]
LEFT_ALONE = [
    (layer, (tensor(64, 64), tensor(64, 64), tensor(64))),
    (layer, (tensor(600, 64).double(), tensor(64, 64).double(), tensor(64).double())),
    (weight_gradient, (tensor(600, 64), tensor(600, 1))),
    (weight_gradient, (tensor(64, 64), tensor(64, 4))),
    (lambda b, x, w: aten.addmm(b, x, w, beta=2.0), (tensor(64), tensor(600, 64), tensor(64, 64))),
    (lambda b, x, w: aten.addmm(b, x, w), (tensor(600, 64), tensor(600, 64), tensor(64, 64))),
]


def rewritten(function, arguments) -> tuple[torch.fx.GraphModule, list[str]]:
    module = make_fx(function, tracing_mode="fake")(*arguments)
    rewrite(module.graph)
    module.graph.lint()
    module.recompile()
    return module, [str(node.target) for node in module.graph.nodes]


@needs_onednn
@pytest.mark.parametrize(("function", "arguments"), LARGE)
def test_large_products_go_to_onednn_and_keep_their_value(function, arguments) -> None:
    module, operations = rewritten(function, arguments)
    assert "ppo.linear.default" in operations
    assert not {"aten.mm.default", "aten.addmm.default"} & set(operations)
    torch.testing.assert_close(module(*arguments), function(*arguments), rtol=1e-4, atol=1e-4)


@needs_onednn
def test_a_thin_product_is_turned_and_keeps_its_value() -> None:
    function, arguments = weight_gradient, (tensor(600, 64), tensor(600, 4))
    module, operations = rewritten(function, arguments)
    (node,) = (n for n in module.graph.nodes if n.target is aten.mm.default)
    assert node.meta["val"].shape == (4, 64)
    assert "ppo.linear.default" not in operations
    torch.testing.assert_close(module(*arguments), function(*arguments), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("function", "arguments"), LEFT_ALONE)
def test_other_products_are_left_alone(function, arguments) -> None:
    before = [str(n.target) for n in make_fx(function, tracing_mode="fake")(*arguments).graph.nodes]
    assert rewritten(function, arguments)[1] == before


@pytest.mark.slow
@needs_onednn
def test_compiled_gradients_agree_with_autograd() -> None:
    x, first, second = tensor(600, 4), tensor(64, 4), tensor(64, 64)

    def loss(first: Tensor, second: Tensor) -> Tensor:
        return torch.tanh(torch.tanh(x @ first.t()) @ second.t()).square().mean()

    gradient = torch.func.grad(loss, argnums=(0, 1))
    fast = compiled(gradient, torch.device("cpu"))
    for mine, reference in zip(fast(first, second), gradient(first, second), strict=True):
        torch.testing.assert_close(mine, reference, rtol=1e-4, atol=1e-7)
