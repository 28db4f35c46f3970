"""A reward outlier, caught in the batch where it enters, before statistics and critic eat it.

Detection is by ranks (median and interquartile range per component), so one outlier cannot hide
itself, and multiplying all rewards changes nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ppo.functional.quantiles import quantiles, spread_index

LIMIT = 1000.0  # robust standard deviations from the median that make an outlier
MAX_SAMPLES = 16_384  # that the quantiles look at
MAX_REPORTED = 3


def center_and_spread(rewards: Tensor) -> tuple[Tensor, Tensor]:
    """Median and robust deviation [K] of rewards [T, N, K]; the deviation is 0 for sparse ones."""
    flat = rewards.flatten(0, 1)
    if flat.shape[0] > MAX_SAMPLES:
        flat = flat[spread_index(flat.shape[0], MAX_SAMPLES, flat.device)]
    low, middle, high = quantiles(flat, (0.25, 0.5, 0.75))
    return middle, (high - low) / 1.349  # the interquartile range of a normal is 1.349 deviations


def find(
    rewards: Tensor, valid: Tensor, limit: float, center: tuple[Tensor, Tensor] | None = None
) -> Tensor:
    """[T, N, K] bool: rewards more than `limit` robust deviations from the median.

    Args:
        center: what `center_and_spread` gives of the rewards.
    """
    middle, spread = center_and_spread(rewards) if center is None else center
    far = (rewards - middle).abs() > limit * spread
    return far & (spread > 0) & valid.unsqueeze(-1)


def clip(
    rewards: Tensor, valid: Tensor, limit: float, center: tuple[Tensor, Tensor] | None = None
) -> Tensor:
    """Rewards with outliers brought back to the farthest reward that is none.

    The limit itself would not do: a thousand deviations are still enough to drown a critic.
    """
    middle, spread = center_and_spread(rewards) if center is None else center
    inside = ((rewards - middle).abs() <= limit * spread) & valid.unsqueeze(-1)
    low = torch.where(inside, rewards, torch.inf).amin((0, 1))
    high = torch.where(inside, rewards, -torch.inf).amax((0, 1))
    known = (spread > 0) & inside.any(1).any(0)  # a limit below 1 may leave none inside
    low, high = torch.where(known, low, -torch.inf), torch.where(known, high, torch.inf)
    return torch.minimum(torch.maximum(rewards, low), high)


def describe(
    rewards: Tensor, valid: Tensor, limit: float, names: tuple[str, ...], first_env: int
) -> list[str]:
    """One sentence for each of the first few outliers: environment, step, component, size."""
    middle, spread = center = center_and_spread(rewards)
    found = find(rewards, valid, limit, center)
    places = found.nonzero()
    lines = []
    for t, n, k in places[:MAX_REPORTED].tolist():
        sigmas = float((rewards[t, n, k] - middle[k]).abs() / spread[k])
        lines.append(
            f"reward outlier: environment {n + first_env}, step {t} of the batch, component "
            f"{names[k]}: {float(rewards[t, n, k]):.6g} is {sigmas:.3g} robust deviations away "
            f"(limit {limit:g})"
        )
    if len(places) > MAX_REPORTED:
        lines.append(f"reward outlier: {len(places) - MAX_REPORTED} more in this batch")
    return lines
