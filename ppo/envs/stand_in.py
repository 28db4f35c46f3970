"""Environments of the same shape as others, in which nothing happens.

Functions of a run are compiled with them in another process, where the true ones cannot be.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ppo.core.data import Step
from ppo.envs.base import Environments

SHAPE = (
    "num_envs observation_space action_space component_names max_episode_steps truncates run_seed "
    "layout"
).split()


class StandIn(Environments):
    """N environments that show one observation for ever.

    Args:
        shape: what `shape_of` gives.
    """

    obs: Tensor  # [N, ...]
    backend = "stand-in"
    restore_level = "native"

    def __init__(self, shape: dict[str, Any]) -> None:
        vars(self).update(shape)
        self.events, self.notes = [], []

    def reset(self) -> Tensor:
        return self.obs.clone()

    def step(self, actions: Tensor) -> Step:
        never = torch.zeros(self.num_envs, dtype=torch.bool)
        rewards = torch.zeros(self.num_envs, len(self.component_names))
        nothing = torch.full((self.num_envs,), torch.nan)
        obs = self.reset()
        return Step(obs, rewards, never, never, obs, nothing, ~never, uneventful=True)

    def mark(self) -> Callable[[], dict[str, Tensor]]:
        return dict

    def load_state_dict(self, state: dict[str, Tensor]) -> Tensor:
        return self.reset()

    def close(self) -> None:
        """Nothing to free."""


def shape_of(envs: Environments, obs: Tensor) -> dict[str, Any]:
    """All that stands in for these environments.

    Args:
        obs: [N, ...] such as they show.
    """
    return {name: getattr(envs, name) for name in SHAPE} | {"obs": obs.detach().cpu().clone()}
