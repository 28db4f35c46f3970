"""A learning rate that follows how far the policy moves."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ppo.config import PPOConfig

STEP = 1.5
RATE_BOUNDS = (1e-5, 1e-2)


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
