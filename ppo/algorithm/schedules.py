"""Numbers that move during a run: by its progress, or by how far the policy moves."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ppo.config import PPOConfig

STEP = 1.5
RATE_BOUNDS = (1e-5, 1e-2)


def scheduled(start: float, kind: str, progress: float) -> float:
    """The value of a schedule.

    Args:
        start: value at the beginning.
        kind: "constant" (also "kl", which has a factor), or "linear" for one that falls to 0.
        progress: share of the run that is done, in [0, 1].
    """
    if kind == "linear":
        return start * max(0.0, 1.0 - progress)
    assert kind in ("constant", "kl"), kind
    return start


def in_force(config: PPOConfig, progress: float, factor: float) -> dict[str, float]:
    """The numbers that schedules move, by their names in `Knobs`.

    Args:
        factor: further factor of the learning rate, beside its schedule.
    """
    rate = scheduled(config.learning_rate, config.learning_rate_schedule, progress)
    return {
        "learning_rate": rate * factor,
        "clip_epsilon": scheduled(config.clip_epsilon, config.clip_schedule, progress),
        "entropy_coefficient": config.entropy_coefficient,
    }


class KLRate(nn.Module):
    """Schulman's adaptive rate as in rsl_rl: a policy that moves too far learns slower.

    `factor` multiplies the learning rate; it stays 1 but for `learning_rate_schedule: kl`. It is
    kept on the host, where the rate is made.
    """

    factor: Tensor  # scalar float64

    def __init__(self, config: PPOConfig) -> None:
        super().__init__()
        follows = config.learning_rate_schedule == "kl"
        self.target = config.target_kl if follows else None
        self.register_buffer("factor", torch.ones((), dtype=torch.float64))

    def follow(self, kl: float | None, rate: float) -> None:
        """Move the rate of the next batch by the KL of this one; `rate` is the one set."""
        if self.target is None or kl is None:
            return
        if kl > 2.0 * self.target:
            self.factor.div_(STEP)
        elif kl < 0.5 * self.target:
            self.factor.mul_(STEP)
        self.factor.clamp_(*(bound / rate for bound in RATE_BOUNDS))
