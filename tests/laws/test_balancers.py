"""The laws of every balancer, found by discovery."""

import pytest
import torch

from ppo.losses.balancers import REGISTRY
from ppo.testing import check_balancer

SIZES = torch.tensor([2.0, 500.0, 0.03])


def make(kind, outputs=(1, 105, 2)):
    torch.manual_seed(0)
    balancer = REGISTRY.get(kind)(["a", "b", "c"], [1.0, 1.0, 1.0], list(outputs))
    for i in range(30):
        balancer.observe(SIZES, SIZES * 2, float(i + 100))
    return balancer


@pytest.mark.parametrize("kind", REGISTRY.names())
def test_it_keeps_the_laws(kind):
    check_balancer(kind)


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


def test_uncertainty_begins_with_the_first_loss_above_0():
    balancer = REGISTRY.get("uncertainty")(["a", "b"], [1.0, 1.0], [1, 1])
    for losses in ([0.0, 2.0], [3.0, 9.0]):
        seen = balancer.started.tolist()
        balancer.observe(torch.tensor(losses), torch.tensor(losses), 0.0)
    assert seen == [False, True] and balancer.started.all()
    torch.testing.assert_close(balancer.start, torch.tensor([3.0, 2.0]).log())


def test_running_mean_puts_back_the_root_of_the_outputs():
    corrected, plain = make("running_mean"), make("running_mean_uncorrected")
    root = torch.tensor([1.0, 105.0, 2.0]).sqrt()
    torch.testing.assert_close(corrected(SIZES)[1] / plain(SIZES)[1], root)
    torch.testing.assert_close(corrected(SIZES)[1] * SIZES, root)


def test_running_mean_is_plain_over_ten_batches_and_then_moves_by_a_twentieth():
    balancer, means = REGISTRY.get("running_mean")(["a"], [1.0], [1]), []
    for loss in range(1, 12):
        balancer.observe(torch.tensor([-float(loss)]), torch.ones(1), 0.0)
        means.append(balancer.mean.item())
    torch.testing.assert_close(means[:10], [(n + 1) / 2 for n in range(1, 11)], rtol=1e-6, atol=0)
    assert means[10] == pytest.approx(0.95 * 5.5 + 0.05 * 11)


def test_gradient_norms_move_by_a_twentieth_and_one_of_nothing_leaves_them():
    balancer = REGISTRY.get("gradient_norm")(["a", "b"], [1.0, 1.0], [1, 1])
    for norms in ([2.0, 0.0], [4.0, 8.0], [0.0, torch.inf]):
        balancer.observe_gradients(torch.tensor(norms))
    torch.testing.assert_close(balancer.mean, torch.tensor([0.95 * 2.0 + 0.05 * 4.0, 8.0]))


def test_batch_statistics_divide_by_the_loss_at_hand():
    weights = make("batch_statistics")(SIZES)[1]
    torch.testing.assert_close(weights * SIZES, torch.tensor([1.0, 105.0, 2.0]).sqrt())


def test_target_variance_divides_by_the_mean_variance_of_the_batches_or_by_nothing():
    balancer = REGISTRY.get("target_variance")(["a", "b", "c"], [1.0, 1.0, 1.0], [1, 1, 1])
    for variance in (4.0, 6.0):
        balancer.observe(SIZES, torch.tensor([variance, torch.nan, 0.0]), 0.0)
    assert balancer(SIZES)[1].tolist() == [pytest.approx(1 / 5), 1.0, 1.0]


def test_target_variance_begins_where_a_loss_is_first_known():
    balancer = REGISTRY.get("target_variance")(["a", "b"], [1.0, 1.0], [1, 1])
    for late in (torch.nan, 0.0, 100.0, 300.0):
        balancer.observe(SIZES[:2], torch.tensor([4.0, late]), 0.0)
    assert balancer(SIZES[:2])[1].tolist() == pytest.approx([1 / 4, 1 / 200])


@pytest.mark.parametrize("size", [1e-12, 1e-3, 1e12])
def test_target_variance_has_no_size_of_its_own(size):
    balancer = REGISTRY.get("target_variance")(["a", "b"], [1.0, 1.0], [1, 1])
    for variance in (1.0, 3.0):
        balancer.observe(SIZES[:2], torch.tensor([variance * size, variance]), 0.0)
        small, plain = balancer(SIZES[:2])[1].tolist()
        assert small * size == pytest.approx(plain, rel=1e-5)


def test_target_variance_reads_the_count_of_earlier_versions():
    balancer = REGISTRY.get("target_variance")(["a", "b"], [1.0, 1.0], [1, 1])
    balancer.load_state_dict({**balancer.state_dict(), "count": torch.tensor([7.0])})
    assert balancer.count.tolist() == [7.0, 7.0]


def test_curriculum_waits_then_ramps():
    balancer = REGISTRY.get("curriculum")(["a", "b"], [1.0, 0.5], [1, 1], delay=50, ramp=100)
    seen = []
    for batch in (0, 50, 100, 150, 400):
        balancer.observe(torch.ones(2), torch.ones(2), float(batch))
        seen.append(balancer(torch.ones(2))[1].tolist())
    assert seen == [[1.0, 0.0], [1.0, 0.0], [1.0, 0.25], [1.0, 0.5], [1.0, 0.5]]


def test_curriculum_by_default_waits_fifty_batches_and_ramps_over_a_hundred():
    balancer = REGISTRY.get("curriculum")(["a", "b"], [1.0, 1.0], [1, 1])
    assert (balancer.delay, balancer.ramp) == (50, 100)


def test_adaptive_makes_terms_equal_within_its_bound():
    weights = make("adaptive")(SIZES)[1]
    torch.testing.assert_close(weights * SIZES, torch.tensor([2.0, 5.0, 2.0]))
    small = REGISTRY.get("adaptive")(["a", "b"], [1.0, 1.0], [1, 1])
    assert small(torch.tensor([2.0, 0.001]))[1].tolist() == pytest.approx([1.0, 100.0])
