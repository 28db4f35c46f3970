"""The color of the actions' noise, which may wait until episodes survive it.

Slow noise, that pushes the same way for a while, comes further than noise that cancels itself from
step to step, and finds what is far away: on Swimmer the stroke that the policies of white noise
never find. Where a fall ends the episode it mostly finds the fall. So the color may wait until
episodes last.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ppo import parallel
from ppo.config import PPOConfig
from ppo.functional.moments import remember
from ppo.schedules import scheduled


class NoiseColor(nn.Module):
    """Which environments explore with colored noise: `share` before a rollout, `observe` after it.

    That is `noise_color_share` of them, or less by its schedule. With `noise_color_when: survived`
    it is none until most of the last hundred episodes or so have reached their time limit. An
    environment that says `terminated` at its time limit survives nothing.

    Args:
        normal_noise: whether the actions have any that can be colored.
    """

    seen: Tensor  # [2] float64: episodes remembered, those that reached their time limit and all

    def __init__(self, config: PPOConfig, normal_noise: bool = True) -> None:
        super().__init__()
        self.possible = normal_noise and config.num_steps > 1
        self.largest = config.noise_color_share if config.noise_color and self.possible else 0.0
        self.schedule = config.noise_color_schedule
        self.waits = config.noise_color_when == "survived"
        self.register_buffer("seen", torch.zeros(2, dtype=torch.float64))

    def share(self, progress: float) -> float:
        """Of the environments, at this share of the run that is done."""
        share = scheduled(self.largest, self.schedule, progress)
        if share == 0.0 or not self.waits:
            return share
        survived, count = self.seen.tolist()
        return share if survived > count / 2 else 0.0

    @torch.no_grad()
    def observe(self, finished: Tensor, terminated: Tensor) -> None:
        """Take in the episodes that ended in a rollout, on all ranks.

        Args:
            finished, terminated: [T, N] bool.
        """
        if not self.waits:
            return
        found = torch.stack([(finished & ~terminated).sum(), finished.sum()]).double()
        remember(self.seen, parallel.sum_(found))
