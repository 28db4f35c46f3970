"""Action distributions equal torch's own, and samples follow the density."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch import distributions as td

from ppo.core.errors import UserError
from ppo.networks.distributions import _inside, distribution_for

GENERATOR = torch.Generator().manual_seed(0)


def params_for(d, size=64):
    return torch.randn(size, d.num_params, generator=torch.Generator().manual_seed(1))


def noise_for(d, size):
    g = torch.Generator().manual_seed(2)
    return (torch.randn if d.normal_noise else torch.rand)(size, d.num_params, generator=g)


def test_gaussian_equals_torch():
    d = distribution_for(gym.spaces.Box(-2, 3, (3,)), "clip", -0.5)
    p = params_for(d)
    a = d.sample(p, noise_for(d, 64))
    reference = td.Independent(td.Normal(p, d.log_std.exp()), 1)
    torch.testing.assert_close(d.log_prob(p, a), reference.log_prob(a))
    torch.testing.assert_close(d.entropy(p), reference.entropy())


def test_one_bound_alone_does_not_hold_the_actions_fast():
    """With 0 for a center every action of [100, inf) would be 100."""
    low, high = np.array([100, -np.inf, 0, -np.inf]), np.array([np.inf, -5, np.inf, np.inf])
    d = distribution_for(gym.spaces.Box(low.astype(np.float32), high.astype(np.float32)))
    up, down = (d.to_env(torch.full((1, 4), side))[0].tolist() for side in (2.0, -2.0))
    assert up == [102, -5, 2, 2] and down == [100, -7, 0, -2]


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_whole_numbers_without_bounds_are_not_scaled_to_the_largest(dtype):
    d = distribution_for(gym.spaces.Box(-np.inf, np.inf, (1,), dtype))
    assert d.to_env(torch.tensor([[1.6], [-0.7]])).tolist() == [[2.0], [-1.0]]


def test_tanh_gaussian_equals_torch():
    d = distribution_for(gym.spaces.Box(-1, 1, (2,)), "tanh", 0.3)
    p = params_for(d)
    u = d.sample(p, noise_for(d, 64))
    base = td.Independent(td.Normal(p, d.log_std.exp()), 1)
    reference = td.TransformedDistribution(base, td.TanhTransform())
    torch.testing.assert_close(d.log_prob(p, u), reference.log_prob(u.tanh()), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(d.to_env(u), u.tanh())


def test_categorical_equals_torch():
    d = distribution_for(gym.spaces.Discrete(5, start=3))
    p = params_for(d)
    a = d.sample(p, noise_for(d, 64))
    reference = td.Categorical(logits=p)
    torch.testing.assert_close(d.log_prob(p, a), reference.log_prob(a[:, 0]))
    torch.testing.assert_close(d.entropy(p), reference.entropy())
    assert d.to_env(a).shape == (64,) and d.to_env(a).min() >= 3


def test_multi_discrete_equals_torch():
    d = distribution_for(gym.spaces.MultiDiscrete([3, 4]))
    p = params_for(d)
    a = d.sample(p, noise_for(d, 64))
    parts = [td.Categorical(logits=x) for x in p.split([3, 4], -1)]
    torch.testing.assert_close(
        d.log_prob(p, a), sum(part.log_prob(a[:, i]) for i, part in enumerate(parts))
    )
    torch.testing.assert_close(d.entropy(p), sum(part.entropy() for part in parts))


def test_multi_binary_equals_torch():
    d = distribution_for(gym.spaces.MultiBinary(4))
    of_two_axes = distribution_for(gym.spaces.MultiBinary([2, 3]))
    assert of_two_axes.to_env(torch.ones(5, 6)).shape == (5, 2, 3)
    p = params_for(d)
    a = d.sample(p, noise_for(d, 64))
    reference = td.Independent(td.Bernoulli(logits=p), 1)
    torch.testing.assert_close(d.log_prob(p, a), reference.log_prob(a.float()))
    torch.testing.assert_close(d.entropy(p), reference.entropy())


@pytest.mark.parametrize(
    "space", [gym.spaces.Discrete(4), gym.spaces.MultiBinary(3), gym.spaces.MultiDiscrete([2, 3])]
)
def test_samples_follow_the_density(space):
    d = distribution_for(space)
    p = torch.randn(1, d.num_params, generator=torch.Generator().manual_seed(3)).expand(60_000, -1)
    a = d.sample(p, noise_for(d, 60_000))
    kinds, counts = torch.unique(a, dim=0, return_counts=True)
    expected = d.log_prob(p[: len(kinds)], kinds).exp()
    torch.testing.assert_close(counts / 60_000, expected, atol=0.01, rtol=0)


@pytest.mark.parametrize(
    "space",
    [
        gym.spaces.Discrete(4),
        gym.spaces.MultiDiscrete([2, 3]),
        gym.spaces.MultiBinary(3),
        gym.spaces.Box(-1, 1, (2,)),
    ],
)
def test_no_action_is_more_likely_than_the_mode(space):
    d = distribution_for(space)
    p = params_for(d, 500)
    drawn = d.log_prob(p, d.sample(p, noise_for(d, 500)))
    assert (d.log_prob(p, d.mode(p)) >= drawn).all()


def test_bounded_actions_reach_their_bounds_in_the_environments_units():
    space = gym.spaces.Box(np.array([-2.0, 10.0], np.float32), np.array([4.0, 20.0], np.float32))
    d = distribution_for(space)
    ends = torch.tensor([[-1.0, -1.0], [1.0, 1.0], [0.0, 0.0], [-9.0, 9.0]])
    assert d.to_env(ends).tolist() == [[-2, 10], [4, 20], [1, 15], [-2, 20]]


def test_unbounded_actions_pass_unchanged():
    d = distribution_for(gym.spaces.Box(-np.inf, np.inf, (2,)))
    a = torch.tensor([[5.0, -7.0]])
    assert torch.equal(d.to_env(a), a)


def test_tanh_bends_bounded_actions_alone():
    high = np.array([1.0, np.inf], np.float32)
    d = distribution_for(gym.spaces.Box(-high, high), "tanh")
    played = d.to_env(torch.tensor([[0.5, 0.5]]))
    torch.testing.assert_close(
        played, torch.tensor([[0.5, 0.0]]).tanh() + torch.tensor([[0.0, 0.5]])
    )


def test_an_unsupported_space_is_named():
    with pytest.raises(UserError, match=r"action space.*Text"):
        distribution_for(gym.spaces.Text(5))


def test_a_draw_of_exactly_zero_never_picks_a_masked_action():
    d = distribution_for(gym.spaces.Discrete(3))
    masked = torch.tensor([[0.0, -1e8, -1e8]])
    drawn = torch.tensor([[0.0, 0.5, 0.999]])  # torch.rand gives 0 once in 16 million draws
    assert d.sample(masked, drawn).item() == 0


def test_the_largest_float_is_no_bound():
    largest = np.finfo(np.float32).max
    low, high = np.array([-largest, -2.0], np.float32), np.array([largest, 2.0], np.float32)
    d = distribution_for(gym.spaces.Box(low, high))
    assert d.bounded.tolist() == [0.0, 1.0]
    played = d.to_env(torch.tensor([[3.0, 0.5]]))
    torch.testing.assert_close(played, torch.tensor([[3.0, 1.0]]))


def test_bounds_are_rounded_inwards_and_no_further():
    bounds = np.array([0.1, 0.7, 0.5])  # above, below and equal as float32
    near = bounds.astype(np.float32)
    up, down = (np.nextafter(near, np.float32(s)) for s in (np.inf, -np.inf))
    assert _inside(bounds, 1).tolist() == [near[0], up[1], near[2]]
    assert _inside(bounds, -1).tolist() == [down[0], near[1], near[2]]
