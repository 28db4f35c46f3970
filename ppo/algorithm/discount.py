"""The discount of each reward component, which may follow the episodes and the critic.

A long horizon 1 / (1 - gamma) is worth only what the critic makes of it: a policy that falls after
fifty steps, or a critic that cannot predict the sum of a thousand rewards, adds noise to every
advantage; a swimmer whose strokes the critic foresees learns nothing without it. François-Lavet et
al. 2015 (arXiv 1512.02011) raise the discount as training goes on, by a plan made beforehand. Here
the data set the pace, so that one setting serves tasks that want a hundred steps or a thousand.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ppo.algorithm.rollout.collect import Episodes
from ppo.algorithm.targets import by_component
from ppo.config import PPOConfig
from ppo.core import parallel
from ppo.functional.moments import remember

STEP = 1.05  # factor of the horizon in a batch
CONTEST = 1.25  # the same while a contest of noises goes on
ENOUGH = 0.9  # explained variance above which the horizon grows


class Discount(nn.Module):
    """Discounts in force; `observe` before a batch's targets are made, `follow` after.

    The horizon is never shorter than that of `gamma`, with which it begins, and never longer than
    that of `max_gamma` or the mean length of the last episodes. Between these bounds, as soon as
    an episode has ended, `gamma_schedule: critic` makes it a twentieth longer after each batch of
    whose returns the critic explained more than nine tenths, else a twentieth shorter.

    While a contest of noises goes on it is not known how far ahead lies what counts, and a policy
    that settles for what lies near does not find the rest. So the horizon grows by a quarter in
    each batch, whatever the critic explains, and `max_gamma_contest` takes the place of a smaller
    `max_gamma`.

    Args:
        names: names of the reward components; those of `component_gammas` keep their own discount.
    """

    free: Tensor  # [K] bool: those that follow
    total: Tensor  # [1] of the trainer as a whole
    gamma: Tensor  # [K] of each component
    horizon: Tensor  # [1] float64 steps
    seen: Tensor  # [2] float64: steps of the episodes remembered, and how many those are

    def __init__(self, config: PPOConfig, names: tuple[str, ...]) -> None:
        super().__init__()
        self.follows = config.gamma_schedule == "critic"
        self.bounds = (config.gamma, config.max_gamma)
        self.contest_bounds = (config.gamma, max(config.max_gamma, config.max_gamma_contest))
        self.may_contest, self.in_contest = config.noise == "contest", False
        own = by_component(names, config.component_gammas, config.gamma)
        free = torch.tensor([name not in config.component_gammas for name in names])
        self.register_buffer("free", free, persistent=False)
        # Not saved: a resumed run takes them from its configuration or from the horizon.
        self.register_buffer("total", torch.tensor([config.gamma]), persistent=False)
        self.register_buffer("gamma", own, persistent=False)
        self.register_buffer("horizon", torch.ones(1, dtype=torch.float64))
        self.register_buffer("seen", torch.zeros(2, dtype=torch.float64))

    @torch.no_grad()
    def observe(self, episodes: Episodes, colored_share: float = 0.0) -> None:
        """Take in the episodes that ended in a rollout, on all ranks.

        Args:
            colored_share: of the environments, in this rollout.
        """
        if not self.follows:
            return
        ended = episodes.finished.double()
        found = torch.stack([(episodes.lengths * ended).sum(), ended.sum()])
        remember(self.seen, parallel.sum_(found))
        steps, count = self.seen.unbind()
        longest = torch.where(count > 0, steps / count, 0.0)
        self.in_contest = self.may_contest and colored_share > 0.0
        low, high = self.contest_bounds if self.in_contest else self.bounds
        self.horizon.copy_(torch.minimum(self.horizon, longest))
        gamma = 1.0 - 1.0 / self.horizon.clamp(min=1.0)
        self.total.copy_(gamma.clamp(low, high))
        self.gamma.copy_(torch.where(self.free, self.total, self.gamma))
        self.horizon.copy_(1.0 / (1.0 - gamma.clamp(low, high)))

    @torch.no_grad()
    def follow(self, explained_variance: float | None) -> None:
        """Move the horizon of the next batch, on all ranks alike; None explains nothing."""
        if not self.follows:
            return
        if self.in_contest:  # of the batch that was observed
            self.horizon.mul_(CONTEST)
            return
        known = math.nan if explained_variance is None else explained_variance
        explained = parallel.mean_(torch.tensor([known], device=self.horizon.device))
        shorter = torch.full_like(self.horizon, 1.0 / STEP)
        self.horizon.mul_(shorter.masked_fill(explained > ENOUGH, STEP))
