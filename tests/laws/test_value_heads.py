"""The laws of every value head, found by discovery."""

import pytest
import torch

from ppo.functional.bins import expectation, hl_gauss_targets, symexp, symlog, two_hot_targets
from ppo.values import HEADS
from ppo.values.head import Units

KINDS = HEADS.names()


def make(kind):
    return HEADS.get(kind)(Units(10.0, 10.0, support=80.0))


@pytest.mark.parametrize("kind", KINDS)
def test_a_zero_output_is_the_value_zero(kind):
    head = make(kind)
    assert torch.equal(head.decode(torch.zeros(4, 2, head.num_outputs)), torch.zeros(4, 2))


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_descent_on_the_loss_reaches_the_target(kind):
    head = make(kind)
    targets = torch.tensor([[-17.0, 3.0], [0.4, 31.0]])
    output = torch.zeros(2, 2, head.num_outputs, requires_grad=True)
    optimizer = torch.optim.Adam([output], lr=0.3)
    for _ in range(600):
        optimizer.zero_grad()
        head.loss(output, head.decode(output), targets).sum().backward()
        optimizer.step()
    torch.testing.assert_close(head.decode(output), targets, atol=0.3, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_the_head_compiles_into_one_graph(kind):
    head = make(kind)
    output, targets = torch.randn(8, 2, head.num_outputs), torch.randn(8, 2) * 10

    def both(output, targets):
        return head.loss(output, head.decode(output), targets)

    graph = torch._dynamo.export(both)(output, targets).graph_module
    torch.testing.assert_close(graph(output, targets), both(output, targets))


def test_two_hot_keeps_the_expectation():
    centers = torch.linspace(-20, 20, 41)
    x = torch.tensor([-20.0, -3.3, 0.0, 7.77, 20.0])
    torch.testing.assert_close(two_hot_targets(x, centers) @ centers, x)


def test_hl_gauss_equals_the_normal_distribution():
    edges = torch.linspace(-8, 8, 65)
    p = hl_gauss_targets(torch.tensor([1.3]), edges, 0.5)[0]
    normal = torch.distributions.Normal(1.3, 0.5)
    torch.testing.assert_close(
        p, normal.cdf(edges[1:]) - normal.cdf(edges[:-1]), atol=1e-6, rtol=1e-4
    )
    assert p.sum().item() == pytest.approx(1.0)


def test_symlog_round_trip():
    x = torch.tensor([-1e6, -3.0, -1e-3, 0.0, 1e-3, 3.0, 1e6])
    torch.testing.assert_close(symexp(symlog(x)), x, rtol=1e-4, atol=1e-7)


def test_expectation_is_exactly_zero_for_equal_logits():
    centers = torch.arange(-127, 128) * (20 / 127)
    assert expectation(torch.zeros(1, 255), centers).item() == 0.0
