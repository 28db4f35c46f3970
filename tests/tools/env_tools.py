"""What the tests of environments share."""

from __future__ import annotations

from unittest.mock import patch

import torch
from torch import Tensor

from ppo.config import EnvConfig
from ppo.core.data import Step
from ppo.envs import make_environments
from ppo.envs.base import Environments

HOST = torch.device("cpu")


def make(env_id: str, backend: str = "sync", num_envs: int = 3, seed: int = 7, **settings):
    """Environments by the names that a configuration uses.

    Args:
        backend: or `shared`, what `auto` takes for slow steps: this process and workers.
    """
    first_index, report = settings.pop("first_index", 0), settings.pop("report", False)
    shared = backend == "shared"
    backend = "auto" if shared else backend
    config = EnvConfig(id=env_id, backend=backend, num_envs=num_envs, **settings)
    with patch("ppo.envs.workers.choice.seconds_of_a_step", lambda *_: 0.5):
        return make_environments(
            config,
            run_seed=seed,
            device=HOST,
            first_index=first_index,
            report=report,
            measures=shared,
        )


def random_actions(envs: Environments, num_steps: int, seed: int = 0) -> list[Tensor]:
    """Actions inside the action space, the same for the same seed."""
    envs.action_space.seed(seed)
    return [
        torch.stack([torch.as_tensor(envs.action_space.sample()) for _ in range(envs.num_envs)])
        for _ in range(num_steps)
    ]


def play(envs: Environments, actions: list[Tensor]) -> list[Step]:
    return [envs.step(action) for action in actions]


def assert_same_bits(left: list[Step], right: list[Step]) -> None:
    for number, (a, b) in enumerate(zip(left, right, strict=True)):
        for step in (a, b):
            if step.uneventful:  # a promise, which other backends need not give
                assert not step.begins_anew.any() and step.success.isnan().all()
        for name in Step._fields[:-1]:
            x, y = getattr(a, name), getattr(b, name)
            assert x.dtype == y.dtype and x.shape == y.shape, (number, name)
            same = (x == y) | ((x != x) & (y != y))
            assert same.all(), f"step {number}: {name}: {x[~same]} against {y[~same]}"
