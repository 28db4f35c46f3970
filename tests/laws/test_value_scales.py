"""The laws of every value scale, found by discovery."""

import pytest
import torch
from torch import nn

from ppo.values import SCALES
from ppo.values.scale import OutputLayer

KINDS = SCALES.names()
HONEST = [kind for kind in KINDS if SCALES.get(kind).carries_back]


def returns(seed, mean=800.0, std=300.0, size=256, k=3):
    g = torch.Generator().manual_seed(seed)
    scales = torch.tensor([1.0, 1e3, 1e-3])[:k]
    return (torch.randn(size, k, generator=g) * std + mean) * scales


def make(kind, k=3):
    scale = SCALES.get(kind)(k, 10.0, 5.0)
    critic = nn.Linear(8, k)
    with torch.no_grad():
        critic.bias.zero_()
        critic.weight.copy_(torch.randn(k, 8, generator=torch.Generator().manual_seed(9)))
    return scale, critic


def update(scale, returns, weights, critic):
    """`scale.update`, whose output layer the critic takes over."""
    first, layer = scale.update(returns, weights, OutputLayer(critic.weight, critic.bias, 1.0))
    with torch.no_grad():
        critic.weight.copy_(layer.weight)
        critic.bias.copy_(layer.bias)
    return first


@pytest.mark.parametrize("kind", HONEST)
def test_round_trip(kind):
    scale, critic = make(kind)
    for seed in range(3):
        update(scale, returns(seed), torch.ones(256), critic)
    v = returns(7)
    torch.testing.assert_close(scale.from_norm(scale.to_norm(v)), v, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("kind", HONEST)
def test_outputs_are_preserved_or_declared_not_to_be(kind):
    scale, critic = make(kind)
    update(scale, returns(0), torch.ones(256), critic)
    h = torch.randn(64, 8, generator=torch.Generator().manual_seed(4))
    before = scale.from_norm(critic(h))
    update(scale, returns(1, mean=-2000.0, std=40.0), torch.ones(256), critic)
    after = scale.from_norm(critic(h))
    same = torch.allclose(before, after, rtol=1e-4, atol=1e-3 * before.abs().max().item())
    assert same == SCALES.get(kind).preserves_outputs


@pytest.mark.parametrize("kind", HONEST)
@pytest.mark.parametrize("k", [-30, 30])
def test_network_units_do_not_see_a_power_of_two_where_so_declared(kind, k):
    plain, critic_a = make(kind)
    scaled, critic_b = make(kind)
    for seed in range(4):
        update(plain, returns(seed), torch.ones(256), critic_a)
        update(scaled, returns(seed) * 2.0**k, torch.ones(256), critic_b)
    same = torch.equal(plain.to_norm(returns(9)), scaled.to_norm(returns(9) * 2.0**k))
    same &= torch.equal(critic_a.weight, critic_b.weight) and torch.equal(
        critic_a.bias, critic_b.bias
    )
    assert same == SCALES.get(kind).exact


@pytest.mark.parametrize("kind", KINDS)
def test_all_zero_returns_set_no_frame(kind):
    scale, critic = make(kind)
    update(scale, torch.zeros(16, 3), torch.ones(16), critic)
    assert not scale.ready.any()
    first = update(scale, returns(0), torch.ones(256), critic)
    assert first.all() and scale.ready.all()


@pytest.mark.parametrize("kind", KINDS)
def test_constant_returns_give_finite_units(kind):
    scale, critic = make(kind)
    update(scale, torch.full((16, 3), 5.0), torch.ones(16), critic)
    assert torch.isfinite(scale.to_norm(torch.full((1, 3), 5.0))).all()
    assert (scale.size > 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_state_survives_saving(kind):
    scale, critic = make(kind)
    update(scale, returns(0), torch.ones(256), critic)
    other, _ = make(kind)
    other.load_state_dict(scale.state_dict())
    assert torch.equal(other.to_norm(returns(1)), scale.to_norm(returns(1)))


@pytest.mark.parametrize("kind", ["batch", "popart", "running"])
def test_targets_have_the_deviation_asked_for(kind):
    scale, critic = make(kind)
    for _ in range(60):
        update(scale, returns(0), torch.ones(256), critic)
    n = scale.to_norm(returns(0))
    torch.testing.assert_close(n.std(0, correction=0), torch.full((3,), 10.0), rtol=1e-3, atol=0)
    torch.testing.assert_close(n.mean(0), torch.zeros(3), rtol=0, atol=1e-2)


def test_samples_without_weight_do_not_move_the_frame():
    a, critic = make("popart")
    b, _ = make("popart")
    r = returns(0)
    w = (torch.arange(256) < 200).float()
    update(a, r, w, critic)
    update(b, torch.where(w.unsqueeze(-1) > 0, r, torch.tensor(1e9)), w, critic)
    assert torch.equal(a.mean, b.mean) and torch.equal(a.std, b.std)
