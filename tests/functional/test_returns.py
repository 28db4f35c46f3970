"""Generalized advantages against a slow oracle, closed forms and another library."""

import pytest
import torch

from ppo.functional.returns import episode_sums, generalized_advantages, linear_recurrence


def random_rollout(seed, t=37, n=5, k=2, ends=0.15):
    g = torch.Generator().manual_seed(seed)
    rewards, values, next_values = (torch.randn(t, n, k, generator=g) for _ in range(3))
    terminated = torch.rand(t, n, generator=g) < ends
    truncated = (torch.rand(t, n, generator=g) < ends) & ~terminated
    next_values[:-1] = torch.where(
        (terminated | truncated)[:-1].unsqueeze(-1), next_values[:-1], values[1:]
    )
    return rewards, values, next_values, terminated, truncated


def slow_advantages(rewards, values, next_values, terminated, ended, gamma, lam):
    out = torch.zeros_like(rewards, dtype=torch.float64)
    for n in range(rewards.shape[1]):
        for k in range(rewards.shape[2]):
            last = 0.0
            for t in reversed(range(rewards.shape[0])):
                bootstrap = (
                    0.0 if terminated[t, n] else gamma[k].item() * next_values[t, n, k].item()
                )
                delta = rewards[t, n, k].item() + bootstrap - values[t, n, k].item()
                last = delta + (0.0 if ended[t, n] else gamma[k].item() * lam * last)
                out[t, n, k] = last
    return out


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("lam", [0.0, 0.95, 1.0])
def test_advantages_equal_the_definition(seed, lam):
    rewards, values, next_values, terminated, truncated = random_rollout(seed)
    gamma = torch.tensor([0.99, 0.9])
    ended = terminated | truncated
    got = generalized_advantages(rewards, values, next_values, terminated, ended, gamma, lam)
    want = slow_advantages(rewards, values, next_values, terminated, ended, gamma, lam)
    torch.testing.assert_close(got.double(), want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_advantages_equal_those_of_torchrl(seed):
    functional = pytest.importorskip("torchrl.objectives.value.functional")
    rewards, values, next_values, terminated, truncated = random_rollout(seed, k=1)
    ended = terminated | truncated
    got = generalized_advantages(
        rewards, values, next_values, terminated, ended, torch.tensor([0.97]), 0.9
    )

    def layout(x):  # torchrl: [N, T, 1]
        return x.transpose(0, 1).reshape(x.shape[1], x.shape[0], 1)

    want, _ = functional.generalized_advantage_estimate(
        0.97,
        0.9,
        layout(values),
        layout(next_values),
        layout(rewards),
        layout(ended),
        layout(terminated),
    )
    torch.testing.assert_close(layout(got), want, rtol=1e-5, atol=1e-5)


def test_truncation_bootstraps_from_the_state_reached():
    one = torch.ones(1, 1, 1)
    args = (one, 0 * one, 5 * one)
    cut = torch.ones(1, 1, dtype=torch.bool)
    gamma = torch.tensor([0.5])
    truncated = generalized_advantages(*args, ~cut, cut, gamma, 1.0)
    terminated = generalized_advantages(*args, cut, cut, gamma, 1.0)
    assert truncated.item() == 1 + 0.5 * 5
    assert terminated.item() == 1


@pytest.mark.parametrize("k", [-30, -20, 20, 30])
def test_advantages_scale_exactly_with_powers_of_two(k):
    rewards, values, next_values, terminated, truncated = random_rollout(0)
    ended, gamma = terminated | truncated, torch.tensor([0.99, 0.9])
    plain = generalized_advantages(rewards, values, next_values, terminated, ended, gamma, 0.95)
    scaled = generalized_advantages(
        *(x * 2.0**k for x in (rewards, values, next_values)), terminated, ended, gamma, 0.95
    )
    assert torch.equal(scaled, plain * 2.0**k)


@pytest.mark.parametrize("length", [1, 2, 3, 64, 100])
def test_doubling_equals_the_loop(length):
    g = torch.Generator().manual_seed(length)
    x, a = torch.randn(length, 3, generator=g).double(), torch.rand(length, 3, generator=g).double()
    want, y = [], torch.zeros(3).double()
    for t in range(length):
        y = x[t] + a[t] * y
        want.append(y)
    torch.testing.assert_close(linear_recurrence(x, a), torch.stack(want))


def test_episode_sums_carry_over_rollouts():
    g = torch.Generator().manual_seed(1)
    rewards = torch.randn(40, 3, 2, generator=g)
    ended = torch.rand(40, 3, generator=g) < 0.2
    whole, carried = episode_sums(rewards, ended, torch.zeros(3, 2))
    parts, state = [], torch.zeros(3, 2)
    for start in range(0, 40, 8):
        part, state = episode_sums(rewards[start : start + 8], ended[start : start + 8], state)
        parts.append(part)
    torch.testing.assert_close(torch.cat(parts), whole)
    torch.testing.assert_close(state, carried)
