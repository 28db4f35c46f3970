"""The laws of every value head, found by discovery."""

import pytest
import torch

from ppo.functional.bins import expectation, hl_gauss_targets, symexp, symlog, two_hot_targets
from ppo.testing import check_value_loss
from ppo.values import HEADS
from ppo.values.head import Units


@pytest.mark.parametrize("kind", HEADS.names())
def test_it_keeps_the_laws(kind):
    check_value_loss(kind)


@pytest.mark.parametrize("kind", HEADS.names())
def test_constants_are_no_state(kind):
    assert not HEADS.get(kind)(Units(1.0, 1.0)).state_dict()


def test_errors_are_measured_in_loss_units_and_huber_bends_at_one_deviation():
    targets = torch.tensor([[0.0], [0.0]])
    values = torch.tensor([[3.0], [12.0]])
    units = Units(unit=6.0, loss_unit=3.0)
    for kind, wanted in (("squared", [1.0, 16.0]), ("huber", [1.0, 12.0])):
        head = HEADS.get(kind)(units)
        assert head.loss(values.unsqueeze(-1), values, targets).flatten().tolist() == wanted
        assert head.decode(torch.ones(2, 1, 1)).tolist() == [[3.0], [3.0]]


def test_two_hot_keeps_the_expectation():
    centers = torch.linspace(-20, 20, 41)
    x = torch.tensor([-20.0, -3.3, 0.0, 7.77, 20.0])
    torch.testing.assert_close(two_hot_targets(x, centers) @ centers, x)
    beyond = two_hot_targets(torch.tensor([-21.0, 20.5, 500.0]), centers)
    assert (beyond @ centers).tolist() == [-20.0, 20.0, 20.0] and beyond.min() == 0


def test_hl_gauss_equals_the_normal_distribution():
    edges = torch.linspace(-8, 8, 65)
    p = hl_gauss_targets(torch.tensor([1.3]), edges, 0.5)[0]
    normal = torch.distributions.Normal(1.3, 0.5)
    torch.testing.assert_close(
        p, normal.cdf(edges[1:]) - normal.cdf(edges[:-1]), atol=1e-6, rtol=1e-4
    )
    assert p.sum().item() == pytest.approx(1.0)


def test_hl_gauss_spreads_a_target_over_three_quarters_of_a_bin():
    """The standard deviation of Farebrother et al. 2024."""
    head = HEADS.get("hl_gauss")(Units(1.0, 1.0, support=101.0))
    normal = torch.distributions.Normal(0.0, 0.75 * head.width)
    edges = torch.tensor([-0.5, 0.5]) * head.width  # of the bin in the middle
    middle = head.distribution(torch.zeros(1, 1))[0, 0, 50]
    torch.testing.assert_close(middle, normal.cdf(edges[1]) - normal.cdf(edges[0]))


def test_symlog_round_trip():
    x = torch.tensor([-1e6, -3.0, -1e-3, 0.0, 1e-3, 3.0, 1e6])
    torch.testing.assert_close(symexp(symlog(x)), x, rtol=1e-4, atol=1e-7)


def test_expectation_is_exactly_zero_for_equal_logits():
    centers = torch.arange(-127, 128) * (20 / 127)
    assert expectation(torch.zeros(1, 255), centers).item() == 0.0
