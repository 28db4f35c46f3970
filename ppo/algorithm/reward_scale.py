"""Rewards divided by the deviation of their discounted sum, as VecNormalize does."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ppo.functional.moments import masked_moments, merge_moments, merge_over_ranks
from ppo.functional.returns import linear_recurrence


class RewardScale(nn.Module):
    """`r / std(G)` with `G[t] = gamma * G[t-1] * (1 - ended) + r[t]`, one deviation for all.

    The statistic of Stable-Baselines3's VecNormalize and of Gymnasium's NormalizeReward, learned
    once a batch, without their absolute epsilon, prior and clip at 10: it keeps invariance to
    powers of two. Note that G sums past rewards, not future ones.

    Args:
        gamma: [1] of the trainer, as it is then. enabled: otherwise rewards pass unchanged.
    """

    of_a_rank = True  # `carried` belongs to running episodes

    carried: Tensor  # [N] discounted sums of episodes that go on
    count: Tensor  # [1] float64
    mean: Tensor  # [1] float64 of the discounted sums
    variance: Tensor  # [1] float64

    def __init__(self, num_envs: int, gamma: Tensor, enabled: bool) -> None:
        super().__init__()
        self.gamma, self.enabled = gamma, enabled
        self.register_buffer("carried", torch.zeros(num_envs))
        for name in ("count", "mean", "variance"):
            self.register_buffer(name, torch.zeros(1, dtype=torch.float64))

    @torch.no_grad()
    def forward(self, rewards: Tensor, ended: Tensor) -> Tensor:
        """Scaled rewards [T, N, K]."""
        if not self.enabled:
            return rewards
        total = rewards.sum(-1)
        goes_on = torch.cat([torch.ones_like(ended[:1]), ~ended[:-1]]).to(total.dtype)
        first = total[0] + self.gamma * self.carried
        sums = linear_recurrence(torch.cat([first.unsqueeze(0), total[1:]]), self.gamma * goes_on)
        self.carried.copy_(torch.where(ended[-1], 0.0, sums[-1]))
        flat = sums.flatten().unsqueeze(-1)
        seen = merge_over_ranks(*masked_moments(flat, torch.ones_like(flat[:, 0])))
        merged = merge_moments(self.count, self.mean, self.variance, *seen)
        for name, value in zip(("count", "mean", "variance"), merged, strict=True):
            getattr(self, name).copy_(value)
        std = self.variance.sqrt()
        safe = torch.where(std > 0, std, torch.ones_like(std)).to(rewards.dtype)
        return rewards / safe
