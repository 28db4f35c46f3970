"""What is done to rewards between their collection and the targets: outliers, then scaling.

An outlier is caught in the batch where it enters, before statistics and critic learn from it.
Detection is by ranks (median and interquartile range per component), so one outlier cannot hide
itself, and multiplying all rewards changes nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ppo.algorithm.health import reward_health
from ppo.core.data import Rollout
from ppo.core.figures import number
from ppo.functional.moments import masked_moments, merge_moments, merge_over_ranks
from ppo.functional.quantiles import quantiles, spread_index
from ppo.functional.returns import linear_recurrence

LIMIT = 1000.0  # robust standard deviations from the median that make an outlier
MAX_SAMPLES = 16_384  # that the quantiles look at
MAX_REPORTED = 3


def center_and_spread(rewards: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Median and robust standard deviation [K] of rewards [T, N, K]; 0 for sparse ones.

    Args:
        valid: [T, N] bool. Rows that are no steps have rewards of 0, which may be far outside.
    """
    flat, real = rewards.flatten(0, 1), valid.flatten()
    if flat.shape[0] > MAX_SAMPLES:
        index = spread_index(flat.shape[0], MAX_SAMPLES, flat.device)
        flat, real = flat[index], real[index]
    low, middle, high = quantiles(flat, (0.25, 0.5, 0.75), real)
    return middle, (high - low) / 1.349  # the interquartile range of a normal distribution


def find_outliers(rewards: Tensor, valid: Tensor, center: tuple[Tensor, Tensor]) -> Tensor:
    """[T, N, K] bool: rewards more than LIMIT robust standard deviations from the median.

    Args:
        center: what `center_and_spread` gives of the rewards.
    """
    middle, spread = center
    far = (rewards - middle).abs() > LIMIT * spread
    return far & (spread > 0) & valid.unsqueeze(-1)


def clip_outliers(rewards: Tensor, valid: Tensor, center: tuple[Tensor, Tensor]) -> Tensor:
    """Rewards with outliers brought back to the farthest reward that is none.

    LIMIT itself would not do: a thousand standard deviations are still enough to drown a critic.
    """
    middle, spread = center
    inside = ((rewards - middle).abs() <= LIMIT * spread) & valid.unsqueeze(-1)
    low = torch.where(inside, rewards, torch.inf).amin((0, 1))
    high = torch.where(inside, rewards, -torch.inf).amax((0, 1))
    known = (spread > 0) & inside.any(1).any(0)
    low, high = torch.where(known, low, -torch.inf), torch.where(known, high, torch.inf)
    clipped = torch.minimum(torch.maximum(rewards, low), high)
    return torch.where(valid.unsqueeze(-1), clipped, rewards)


class Rewards(nn.Module):
    """Rewards of a rollout in the form that all later steps use: outliers clipped, then scaled.

    Scaled: `r / std(G)` with `G[t] = gamma * G[t-1] * (1 - ended) + r[t]`, one scale for all.

    The statistic of Stable-Baselines3's VecNormalize and of Gymnasium's NormalizeReward, learned
    once a batch, without their absolute epsilon, prior and clip at 10: it keeps invariance to
    powers of two. Note that G sums past rewards, not future ones.

    Args:
        gamma: [1] of the trainer, as it is then.
        scales: whether rewards are scaled. clips: whether outliers are, or only reported.
    """

    of_a_rank = ("carried",)  # it belongs to running episodes

    carried: Tensor  # [N] discounted sums of episodes that go on
    count: Tensor  # [1] float64
    mean: Tensor  # [1] float64 of the discounted sums
    variance: Tensor  # [1] float64

    def __init__(self, num_envs: int, gamma: Tensor, scales: bool, clips: bool) -> None:
        super().__init__()
        self.gamma, self.scales, self.clips = gamma, scales, clips
        self.register_buffer("carried", torch.zeros(num_envs))
        for name in ("count", "mean", "variance"):
            self.register_buffer(name, torch.zeros(1, dtype=torch.float64))

    def begin(self, lengths: Tensor) -> None:
        """Before a rollout: nothing is carried into an episode that has no step yet, even where
        the one before it was given up.

        Args:
            lengths: [N, 1] steps of the running episodes.
        """
        if self.scales:
            self.carried.masked_fill_(lengths.squeeze(-1) == 0, 0.0)

    @torch.no_grad()
    def forward(self, rollout: Rollout) -> tuple[Tensor, dict[str, Tensor]]:
        """Treated rewards [T, N, K], and figures of the rewards as they came."""
        rewards, valid = rollout.rewards, rollout.valid
        center = center_and_spread(rewards, valid)
        found = reward_health(rewards, valid, center)
        found["reward_outliers"] = find_outliers(rewards, valid, center).sum()
        if self.clips:
            rewards = clip_outliers(rewards, valid, center)
        if self.scales:
            rewards = self.scaled(rewards, rollout.ended, valid)
        return rewards, found

    def scaled(self, rewards: Tensor, ended: Tensor, valid: Tensor) -> Tensor:
        """Scaled rewards [T, N, K]; only steps that are valid [T, N] count in the statistic."""
        total = rewards.sum(-1)
        goes_on = torch.cat([torch.ones_like(ended[:1]), ~ended[:-1]]).to(total.dtype)
        first = total[0] + self.gamma * self.carried
        sums = linear_recurrence(torch.cat([first.unsqueeze(0), total[1:]]), self.gamma * goes_on)
        lost = ended[-1] | ~torch.isfinite(sums[-1])  # a NaN must not outlive its batch
        self.carried.copy_(torch.where(lost, 0.0, sums[-1]))
        flat = sums.flatten().unsqueeze(-1)
        seen = merge_over_ranks(*masked_moments(flat, valid.flatten()))
        merged = merge_moments(self.count, self.mean, self.variance, *seen)
        for name, value in zip(("count", "mean", "variance"), merged, strict=True):
            getattr(self, name).copy_(value)
        std = self.variance.sqrt()
        safe = torch.where(std > 0, std, torch.ones_like(std)).to(rewards.dtype)
        return rewards / safe

    def report(self, rollout: Rollout, names: tuple[str, ...], first_env: int) -> list[str]:
        """One sentence for each of the first few outliers: environment, step, component, size.

        Args:
            rollout: as it was collected. names: names of the components.
            first_env: number of the first environment of this rank.
        """
        rewards = rollout.rewards
        middle, spread = center = center_and_spread(rewards, rollout.valid)
        places = find_outliers(rewards, rollout.valid, center).nonzero()
        lines = []
        for t, n, k in places[:MAX_REPORTED].tolist():
            sigmas = float((rewards[t, n, k] - middle[k]).abs() / spread[k])
            lines.append(
                f"reward outlier: environment {n + first_env}, step {t} of the batch, component "
                f"{names[k]}: {float(rewards[t, n, k]):.6g} is {number(sigmas)} robust standard "
                f"deviations away (limit {number(LIMIT)})"
            )
        if len(places) > MAX_REPORTED:
            lines.append(f"reward outlier: {len(places) - MAX_REPORTED} more in this batch")
        return lines
