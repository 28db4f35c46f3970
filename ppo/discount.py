"""The discount of each reward component, which may follow the length of episodes.

A policy that falls after fifty steps learns nothing from a horizon of four hundred but noise; one
that walks for a thousand needs it. François-Lavet et al. 2015 (arXiv 1512.02011) raise the discount
while training goes on; here the episodes set the pace, so that one setting serves tasks that end
early, late or only by their time limit.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ppo import parallel
from ppo.collect import Episodes
from ppo.config import PPOConfig
from ppo.targets import by_component

MEMORY = 0.99  # weight that an episode keeps with each later one: about the last hundred count


class Discount(nn.Module):
    """Discounts in force; `observe` moves them before a batch's targets are made.

    Args:
        config: with `gamma_schedule` episode_length the horizon 1 / (1 - gamma) is
            `episode_horizon` times the mean length of the last episodes, within `gamma` and
            `max_gamma`; before the first episode has ended the discount is `gamma`.
        names: of the reward components; those of `component_gammas` keep their own discount.
    """

    total: Tensor  # [1] of the trainer as a whole
    gamma: Tensor  # [K] of each component
    seen: Tensor  # [2] float64: steps of the episodes remembered, and how many those are

    def __init__(self, config: PPOConfig, names: tuple[str, ...]) -> None:
        super().__init__()
        self.follows = config.gamma_schedule == "episode_length"
        self.share, self.bounds = config.episode_horizon, (config.gamma, config.max_gamma)
        self.free = torch.tensor([name not in config.component_gammas for name in names])
        own = by_component(names, config.component_gammas, config.gamma)
        self.register_buffer("total", torch.tensor([config.gamma]))
        self.register_buffer("gamma", own)
        self.register_buffer("seen", torch.zeros(2, dtype=torch.float64))

    @torch.no_grad()
    def observe(self, episodes: Episodes) -> None:
        """Take in the episodes that ended in a rollout, on all ranks."""
        if not self.follows:
            return
        ended = episodes.finished.double()
        found = torch.stack([(episodes.lengths * ended).sum(), ended.sum()])
        found = parallel.sum_(found)
        self.seen.mul_(MEMORY ** found[1]).add_(found)
        steps, count = self.seen.unbind()
        length = torch.where(count > 0, steps / count, 0.0)
        gamma = 1.0 - 1.0 / (self.share * length).clamp(min=1.0)
        low, high = self.bounds
        self.total.copy_(gamma.clamp(low, high))
        self.gamma.copy_(torch.where(self.free.to(gamma.device), self.total, self.gamma))
