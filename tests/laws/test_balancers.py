"""The laws of every balancer, found by discovery."""

import pytest
import torch

from ppo.losses.balancers import REGISTRY

KINDS = REGISTRY.names()
SIZES = torch.tensor([2.0, 500.0, 0.03])


def make(kind, outputs=(1, 105, 2)):
    torch.manual_seed(0)
    balancer = REGISTRY.get(kind)(["a", "b", "c"], [1.0, 1.0, 1.0], list(outputs))
    for i in range(30):
        balancer.observe(SIZES, SIZES * 2, float(i + 100))
    return balancer


@pytest.mark.parametrize("kind", KINDS)
def test_every_loss_keeps_a_gradient_in_its_own_direction(kind):
    balancer = make(kind)
    if kind == "curriculum":
        balancer.observe(SIZES, SIZES, 10_000.0)
    losses = SIZES.clone().requires_grad_()
    total, weights = balancer(losses)
    total.backward()
    assert (losses.grad > 0).all() and torch.isfinite(losses.grad).all()
    torch.testing.assert_close(losses.grad, weights)


@pytest.mark.parametrize("kind", KINDS)
def test_state_survives_saving(kind):
    balancer = make(kind)
    other = REGISTRY.get(kind)(["a", "b", "c"], [1.0, 1.0, 1.0], [1, 105, 2])
    other.load_state_dict(balancer.state_dict())
    assert torch.equal(other(SIZES)[0], balancer(SIZES)[0])


@pytest.mark.parametrize("kind", KINDS)
def test_a_zero_loss_leaves_everything_finite(kind):
    balancer = REGISTRY.get(kind)(["a", "b"], [1.0, 1.0], [1, 1])
    balancer.observe(torch.zeros(2), torch.full((2,), torch.nan), 0.0)
    total, weights = balancer(torch.zeros(2))
    assert torch.isfinite(total) and torch.isfinite(weights).all()


@pytest.mark.parametrize("kind", KINDS)
def test_it_compiles_into_one_graph(kind):
    balancer = make(kind)
    graph = torch._dynamo.export(balancer)(SIZES).graph_module
    torch.testing.assert_close(graph(SIZES)[0], balancer(SIZES)[0])


def test_uncertainty_settles_where_every_term_weighs_a_half():
    balancer = make("uncertainty")
    optimizer = torch.optim.Adam(balancer.parameters(), lr=0.05)
    for _ in range(500):
        optimizer.zero_grad()
        balancer(SIZES)[0].backward()
        optimizer.step()
    torch.testing.assert_close(balancer(SIZES)[1] * SIZES, torch.full((3,), 0.5), rtol=1e-2, atol=0)


def test_uncertainty_leaves_a_negative_loss_its_weight():
    balancer = make("uncertainty")
    weights = balancer(torch.tensor([-2.0, 500.0, 0.03]))[1]
    assert weights[0] == 1.0


def test_running_mean_puts_back_the_root_of_the_outputs():
    corrected, plain = make("running_mean"), make("running_mean_uncorrected")
    ratio = corrected(SIZES)[1] / plain(SIZES)[1]
    torch.testing.assert_close(ratio, torch.tensor([1.0, 105.0, 2.0]).sqrt())


def test_curriculum_waits_then_ramps():
    balancer = REGISTRY.get("curriculum")(["a", "b"], [1.0, 0.5], [1, 1], delay=50, ramp=100)
    seen = []
    for batch in (0, 50, 100, 150, 400):
        balancer.observe(torch.ones(2), torch.ones(2), float(batch))
        seen.append(balancer(torch.ones(2))[1].tolist())
    assert seen == [[1.0, 0.0], [1.0, 0.0], [1.0, 0.25], [1.0, 0.5], [1.0, 0.5]]


def test_adaptive_makes_terms_equal_within_its_bound():
    weights = make("adaptive")(SIZES)[1]
    torch.testing.assert_close(weights * SIZES, torch.tensor([2.0, 5.0, 2.0]))
