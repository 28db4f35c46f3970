"""Environments behind one interface, whatever steps them.

Adding a torch-native environment: one file in `ppo/envs/native/` (see `pendulum.py`).
This package imports no torch, so that worker processes start in a fraction of a second.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import gymnasium as gym

if TYPE_CHECKING:
    from ppo.envs.base import Environments, episode_seed
    from ppo.envs.make import make_environments
    from ppo.envs.simulator import TorchVectorEnv

__all__ = ["Environments", "TorchVectorEnv", "episode_seed", "make_environments"]

OWN = {
    "DoubleIntegrator-v0": ("ppo.envs.tasks.double_integrator:DoubleIntegratorEnv", None),
    "RawInputs-v0": ("ppo.envs.tasks.raw_inputs:make_raw_inputs", 500),
    "TMaze-v0": ("ppo.envs.tasks.tmaze:TMazeEnv", None),
    "ThreeScales-v0": ("ppo.envs.tasks.raw_inputs:ThreeScalesEnv", None),
}
for _id, (_entry, _limit) in OWN.items():
    if _id not in gym.registry:
        gym.register(id=_id, entry_point=_entry, max_episode_steps=_limit)


def __getattr__(name: str) -> Any:
    """What needs torch or has a base in it, imported when it is first asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    homes = {"make_environments": "make", "TorchVectorEnv": "simulator"}
    return getattr(import_module(f"{__name__}.{homes.get(name, 'base')}"), name)
