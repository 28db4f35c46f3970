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
from ppo.schedules import at_first


class NoiseColor(nn.Module):
    """The color of the next rollout: `at` before it, `observe` after it.

    With `noise_color_when: always` that is `noise_color` for the first `noise_color_share` of the
    run; with `survived` only while most of the last hundred episodes or so reached their time
    limit. It is white (0) else.
    """

    seen: Tensor  # [2] float64: episodes remembered, those that reached their time limit and all

    def __init__(self, config: PPOConfig) -> None:
        super().__init__()
        self.color, self.share = config.noise_color, config.noise_color_share
        self.waits = config.noise_color_when == "survived"
        self.register_buffer("seen", torch.zeros(2, dtype=torch.float64))

    def at(self, progress: float) -> float:
        """At this share of the run that is done."""
        color = at_first(self.color, self.share, progress)
        if color == 0.0 or not self.waits:
            return color
        survived, count = self.seen.tolist()
        return color if survived > count / 2 else 0.0

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
