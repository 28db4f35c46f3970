"""The laws of every value scale, found by discovery."""

import pytest
import torch
from torch import nn

from ppo.algorithm.laws.values import learn, returns
from ppo.testing import check_return_normalizer
from ppo.values import SCALES
from ppo.values.scale import RECENT, OutputLayer, _shrunk


@pytest.mark.parametrize("kind", SCALES.names())
def test_it_keeps_the_laws(kind):
    check_return_normalizer(kind)


CLAIMS = {  # exact, affine, preserves_outputs, carries_back, support
    "batch": (True, True, False, True, 8.0),
    "identity": (False, True, True, True, None),
    "naive_batch_zscore_without_carrying_back": (False, True, False, False, 8.0),
    "popart": (True, True, True, True, 8.0),
    "running": (True, True, False, True, 8.0),
    "symlog": (False, False, True, True, 20.0),
}


@pytest.mark.parametrize("kind", SCALES.names())
def test_it_claims_what_it_can(kind):
    """A claim that is taken back would let its law pass unasked."""
    made = SCALES.get(kind)(1, 1.0, 5.0)
    claims = made.exact, made.affine, made.preserves_outputs, made.carries_back, made.support
    assert claims == CLAIMS[kind]


def test_statistics_begin_anew_where_four_batches_vary_sixteen_times_less():
    recent = torch.zeros(2, RECENT, 1, dtype=torch.float64)
    recent[1] = 1.0
    held, seen = torch.tensor([[15.9], [16.1]]), torch.tensor([[3.0], [4.0]])
    anew = [[bool(_shrunk(recent, h, s)[0]) for s in seen] for h in held]
    assert RECENT == 3 and anew == [[False, False], [False, True]]
    recent[1, 2] = 0.0  # a batch without a spread is none of them
    assert not _shrunk(recent, held[1], seen[1])[0]


def test_statistics_that_begin_anew_are_those_of_the_newest_batch():
    recent = torch.arange(6.0).reshape(2, RECENT, 1)
    _, mean, variance = _shrunk(recent, torch.ones(1), torch.ones(1))
    assert (mean.item(), variance.item()) == (0.0, 3.0)


@pytest.mark.parametrize("kind", ["batch", "popart", "running"])
def test_targets_have_the_deviation_asked_for(kind):
    scale, critic = SCALES.get(kind)(3, 10.0, 5.0), nn.Linear(8, 3)
    for _ in range(60):
        learn(scale, returns(0), critic)
    n = scale.to_norm(returns(0))
    torch.testing.assert_close(n.std(0, correction=0), torch.full((3,), 10.0), rtol=1e-3, atol=0)
    torch.testing.assert_close(n.mean(0), torch.zeros(3), rtol=0, atol=1e-2)


MOVING = [
    kind for kind in SCALES.names() if SCALES.get(kind)(1, 1.0, 5.0).memory(torch.tensor(9.0)) < 1
]


def fed(kind, stds, factor=1.0, size=256):
    """The standard deviation after each batch of returns with these standard deviations."""
    scale, seen = SCALES.get(kind)(1, 10.0, 20.0), []
    for seed, std in enumerate(stds):
        g = torch.Generator().manual_seed(seed)
        batch = std * (torch.randn(size, 1, generator=g) + 1.5) * factor
        scale.update(batch, torch.ones(size))
        seen.append(float(scale.std) / factor)
    return seen


@pytest.mark.parametrize("kind", MOVING)
@pytest.mark.parametrize("factor", [1e-3, 1e3])
def test_statistics_follow_a_fall_as_fast_as_a_growth(kind, factor):
    found = fed(kind, [1.0] * 30 + [factor] * 6)
    assert found[29] == pytest.approx(1.0, rel=0.1)
    assert found[-1] == pytest.approx(factor, rel=0.2 if factor < 1 else 0.6)


@pytest.mark.parametrize("kind", MOVING)
def test_a_fall_is_exact_under_powers_of_two(kind):
    stds = [1.0] * 10 + [0.01] * 8
    assert fed(kind, stds) == fed(kind, stds, 2.0**20) == fed(kind, stds, 2.0**-20)


@pytest.mark.parametrize("kind", MOVING)
@pytest.mark.parametrize(
    "quiet",
    [
        [0.001] * 2,  # too few
        [0.001, 0.001, 1.0, 0.001, 0.001, 1.0, 0.001, 0.001],  # not in a row
        [0.0] * 30,  # no reward has no size
        [0.4] * 30,  # noise, and a slow decline
    ],
)
def test_statistics_do_not_jump_for_less(kind, quiet):
    """They forget as slowly as their horizon of 20 batches says."""
    found = fed(kind, [1.0] * 30 + quiet)
    ratios = [after / before for before, after in zip(found[29:], found[30:], strict=False)]
    assert min(ratios) > (1 - 1 / 20) ** 0.5 * 0.95


@pytest.mark.parametrize("kind", MOVING)
def test_sparse_rewards_keep_the_scale_of_those_that_came(kind):
    """After a hundred batches of nothing the first reward sets the frame; later zeros keep it."""
    found = fed(kind, [0.0] * 100 + [1.0] + [0.0] * 50)
    assert found[99] == 0 and found[100] > 0 and found[-1] == found[100]


def test_values_that_fit_are_kept_when_the_frame_shrinks():
    """A policy that has solved its task leaves small returns; the critic knows them."""
    for wrong in (False, True):
        scale = SCALES.get("popart")(1, 10.0, 20.0)
        layer, hidden = OutputLayer(torch.ones(1, 1), torch.zeros(1), 1.0), torch.randn(256, 1)
        for std in [1.0] * 20 + [0.01] * 3:
            returns = hidden * std + 2.0
            _, layer = scale.update(returns, torch.ones(256), layer, returns + 100.0 * wrong)
            predicted = scale.from_norm(hidden @ layer.weight.T + layer.bias)
            before = scale.size.item()
        assert before < 0.01  # the frame has shrunk
        moved = (predicted - 2.0).abs().max().item()
        assert (moved < 0.05) == wrong  # in the new unit, or as it was


@pytest.mark.parametrize("kind", ["identity", "symlog"])
def test_values_are_kept_where_the_frame_cannot_move(kind):
    """They are wrong by far in returns that have shrunk, but no prediction has jumped."""
    scale = SCALES.get(kind)(1, 10.0, 20.0)
    anew = []
    for std in [1000.0] * 20 + [1.0] * 5:
        returns = 5.0 * std + std * torch.randn(256, 1)
        first, _ = scale.update(returns, torch.ones(256), None, returns + 5000.0)
        anew.append(bool(first))
    assert not any(anew[1:])
