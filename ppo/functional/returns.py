"""Generalized advantage estimation and episode sums as linear recurrences."""

from __future__ import annotations

import torch
from torch import Tensor


def linear_recurrence(inputs: Tensor, decays: Tensor) -> Tensor:
    """Solve `y[t] = inputs[t] + decays[t] * y[t-1]`, `y[-1] = 0`, along the first axis.

    Computed by doubling (Hillis and Steele 1986): log2(T) whole-tensor steps in place of T
    small ones, so it costs the same in eager mode, compiled, and on a GPU. Scaling `inputs` by a
    power of two scales the result exactly.

    Args:
        inputs: [T, ...].
        decays: broadcastable to `inputs`; `decays[0]` is not used.
    """
    values, factors = inputs, decays.expand_as(inputs)
    length, span = inputs.shape[0], 1
    while span < length:
        values = torch.cat([values[:span], values[span:] + factors[span:] * values[:-span]])
        factors = torch.cat([factors[:span], factors[span:] * factors[:-span]])
        span *= 2
    return values


def generalized_advantages(
    rewards: Tensor,
    values: Tensor,
    next_values: Tensor,
    terminated: Tensor,
    ended: Tensor,
    gamma: Tensor,
    gae_lambda: float,
    valid: Tensor | None = None,
) -> Tensor:
    """Advantages of Schulman et al. 2016 (arXiv 1506.02438, eq. 16), with exact episode ends.

    `delta = r + gamma * (1 - terminated) * next_value - value` and
    `A[t] = delta[t] + gamma * lambda * (1 - ended[t]) * A[t+1]`: a termination stops the bootstrap,
    any end of an episode stops the sum. A time limit needs no case of its own because
    `next_values` is the value of the state truly reached.

    Args:
        rewards, values, next_values: [T, N, K] reward units.
        terminated, ended: [T, N] bool.
        gamma: [K] or scalar discounts.
        gae_lambda: in [0, 1].
        valid: [T, N] bool; other rows are no steps: they have no advantage, and the sum of the
            steps before them stops there. None: all are.

    Returns:
        [T, N, K] advantages in reward units.
    """
    alive = (~terminated).unsqueeze(-1).to(values.dtype)
    goes_on = (~ended).unsqueeze(-1).to(values.dtype)
    deltas = rewards + gamma * alive * next_values - values
    if valid is not None:
        steps = valid.unsqueeze(-1).to(values.dtype)
        deltas, goes_on = deltas * steps, goes_on * steps
    decays = gamma * gae_lambda * goes_on
    return linear_recurrence(deltas.flip(0), decays.flip(0)).flip(0)


def episode_sums(rewards: Tensor, ended: Tensor, carried: Tensor) -> tuple[Tensor, Tensor]:
    """Sum of rewards since each episode's start, and what is carried into the next rollout.

    Args:
        rewards: [T, N, K]. ended: [T, N] bool. carried: [N, K] sums of the running episodes.

    Returns:
        sums [T, N, K], including the reward of that step; carried [N, K].
    """
    started = torch.cat([torch.zeros_like(ended[:1]), ended[:-1]]).unsqueeze(-1)
    inputs = torch.cat([(rewards[0] + carried).unsqueeze(0), rewards[1:]])
    sums = linear_recurrence(inputs, (~started).to(rewards.dtype))
    return sums, torch.where(ended[-1].unsqueeze(-1), torch.zeros_like(carried), sums[-1])
