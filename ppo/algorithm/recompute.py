"""Advantages and returns of a rollout again, with the critic as it is now.

Within the epochs of a batch the critic moves on and the advantages that the first epoch used grow
stale. Andrychowicz et al. 2021 (arXiv 2006.05990, section 3.5) find that advantages computed anew
before each epoch help most of all ways to cut a batch into minibatches.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ppo.algorithm.targets import TargetSettings, make_batch
from ppo.core import parallel
from ppo.core.compiling import compiled, keep
from ppo.core.data import Batch, Rollout
from ppo.losses.objective import Objective


class Recompute:
    """A batch of `rollout` with new returns and advantages, and all else as it was.

    `old_values`, which value clips measure from, stay those of the collection, and so does the
    critic's frame.
    """

    def __init__(
        self,
        objective: Objective,
        settings: TargetSettings,
        device: torch.device,
        compile_it: bool,
    ) -> None:
        self.objective, self.settings = objective, settings
        fused = compile_it and not parallel.is_active()
        self._targets = compiled(self.targets, device) if fused else self.targets

    @torch.no_grad()
    def __call__(self, batch: Batch, rollout: Rollout) -> Batch:
        """
        Args:
            batch: made of `rollout`. rollout: rewards as the critic is to see them, and `beyond`.
        """
        assert rollout.beyond is not None and not rollout.context
        last, cut = rollout.beyond
        seen = torch.cat([rollout.obs, last.unsqueeze(0)])
        values = self._values(seen.flatten(0, 1)).unflatten(0, seen.shape[:2])
        following = values[1:].clone()
        if cut is not None:
            steps, envs, reached = cut
            following[steps, envs] = self._values(reached)
        rollout = rollout._replace(values=values[:-1], next_values=following, beyond=None)
        std = self.objective.value_scale.std.norm()
        returns, advantages = keep(self._targets(rollout, std))
        return batch._replace(returns=returns, advantages=advantages)

    def _values(self, obs: Tensor) -> Tensor:
        """[B, K] reward units."""
        objective = self.objective
        return objective.value_scale.from_norm(objective.agent.values_norm(obs))

    def targets(self, rollout: Rollout, std: Tensor) -> tuple[Tensor, Tensor]:
        """Returns [B, K] and scaled advantages [B]."""
        found = make_batch(rollout, self.settings)
        advantages = self.objective.advantage_scale(
            found.advantages, found.returns.sum(-1), found.valid, std
        )
        return found.returns, advantages
