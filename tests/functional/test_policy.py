"""The surrogate, its advantages and the KL estimator."""

import pytest
import torch

from ppo.functional.moments import explained_variance, masked_moments, merge_moments
from ppo.functional.policy import approximate_kl, clipped_surrogate, normalize_advantages


@pytest.mark.parametrize("k", [-30, -10, 10, 30])
@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_normalized_advantages_do_not_see_the_scale(k, offset):
    a = torch.randn(512, generator=torch.Generator().manual_seed(0)) + offset
    w = torch.ones(512)
    assert torch.equal(normalize_advantages(a, w), normalize_advantages(a * 2.0**k, w))


def test_an_additive_epsilon_would_be_noticed():
    a = torch.randn(512, generator=torch.Generator().manual_seed(0))

    def usual(x):
        return (x - x.mean()) / (x.std() + 1e-8)

    assert not torch.equal(usual(a), usual(a * 2.0**-10))


def test_constant_advantages_become_zero():
    for value in (0.0, 3.7, 1e30):
        out = normalize_advantages(torch.full((7,), value), torch.ones(7))
        assert torch.equal(out, torch.zeros(7))


def test_advantages_that_differ_by_rounding_are_constant_and_by_more_are_not():
    noise = torch.tensor([-1.0, 1.0, -1.0, 1.0]) * 2.0**-23  # the last bit of 1
    assert not normalize_advantages(1.0 + noise, torch.ones(4)).any()
    assert normalize_advantages(1.0 + 16 * noise, torch.ones(4)).abs().tolist() == [1.0] * 4


def test_masked_samples_do_not_count():
    g = torch.Generator().manual_seed(0)
    a, w = torch.randn(100, generator=g), (torch.arange(100) < 60).float()
    changed = torch.where(w > 0, a, torch.tensor(1e6))
    torch.testing.assert_close(normalize_advantages(a, w), normalize_advantages(changed, w))
    torch.testing.assert_close(
        normalize_advantages(a, w)[:60], normalize_advantages(a[:60], w[:60])
    )


def test_gradient_of_the_surrogate_vanishes_only_beyond_the_clip_in_the_gainful_direction():
    ratio = torch.tensor([0.7, 0.7, 1.0, 1.3, 1.3], requires_grad=True)
    advantages = torch.tensor([1.0, -1.0, 1.0, 1.0, -1.0])
    clipped_surrogate(ratio, advantages, 0.2).sum().backward()
    assert ratio.grad.tolist() == [-1.0, 0.0, -1.0, 0.0, 1.0]


def test_kl_estimator_is_unbiased():
    g = torch.Generator().manual_seed(0)
    old, new = torch.distributions.Normal(0.0, 1.0), torch.distributions.Normal(0.3, 1.2)
    x = torch.randn(400_000, generator=g)
    estimate = approximate_kl(new.log_prob(x) - old.log_prob(x)).mean()
    exact = torch.distributions.kl_divergence(old, new)
    assert abs(estimate - exact) < 0.002


def test_moments_merge_as_the_union():
    g = torch.Generator().manual_seed(0)
    a, b = torch.randn(30, 4, generator=g) * 3 + 1000, torch.randn(50, 4, generator=g) + 990
    ones = torch.ones(80)
    merged = merge_moments(*masked_moments(a, ones[:30]), *masked_moments(b, ones[:50]))
    for got, want in zip(merged, masked_moments(torch.cat([a, b]), ones), strict=True):
        torch.testing.assert_close(got, want)


def test_explained_variance_of_known_cases():
    r = torch.randn(1000, 1, generator=torch.Generator().manual_seed(0))
    w = torch.ones(1000)
    assert explained_variance(r, r, w).item() == 1.0
    assert explained_variance(r, r.mean() + 0 * r, w).item() == pytest.approx(0.0, abs=1e-6)
    assert explained_variance(r, -r, w).item() == pytest.approx(-3.0, rel=1e-5)
    assert explained_variance(r + 100, r, w).item() == pytest.approx(1.0, abs=1e-5)
    assert explained_variance(0 * r, r, w).isnan().all()


@pytest.mark.parametrize("k", [-120, -90, 60, 110])
def test_advantages_far_outside_everyday_sizes_are_normalized_too(k):
    """Their squares are no float32 any more; 2^-126 to 2^127 is what float32 itself has."""
    a = torch.randn(512, generator=torch.Generator().manual_seed(0)).clamp(-3, 3)
    a = torch.where(a.abs() < 2.0**-5, torch.zeros(()), a)  # no subnormal numbers
    w = torch.ones(512)
    assert torch.equal(normalize_advantages(a, w), normalize_advantages(a * 2.0**k, w))


def test_the_standard_deviation_of_normalized_advantages_has_ddof_0():
    a = torch.randn(6, generator=torch.Generator().manual_seed(0))
    expected = (a - a.mean()) / a.std(correction=0)
    torch.testing.assert_close(normalize_advantages(a, torch.ones(6)), expected)
