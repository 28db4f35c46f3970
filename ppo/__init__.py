"""PPO whose value function holds when returns get large, and that says why when training fails."""

from __future__ import annotations

from importlib import import_module
from sys import modules
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ppo.config import Config
    from ppo.insight.frame import read_runs
    from ppo.losses.auxiliary import AuxiliaryLoss
    from ppo.losses.balancers.base import Balancer
    from ppo.networks.encoders.base import Encoder
    from ppo.networks.memory import Memory
    from ppo.policies.evaluate import evaluate
    from ppo.policies.policy import Policy, load_policy
    from ppo.training.callbacks import (
        RecordVideo,
        StopAtFatalFinding,
        StopAtNoImprovement,
        StopAtReturn,
    )
    from ppo.training.observers import Callback
    from ppo.training.trainer import Trainer
    from ppo.values.clips import ValueClip
    from ppo.values.head import ValueHead
    from ppo.values.scale import ValueScale

_HOMES = {
    "Config": "config",
    "Trainer": "training.trainer",
    "Callback": "training.observers",
    "RecordVideo": "training.callbacks",
    "StopAtReturn": "training.callbacks",
    "StopAtNoImprovement": "training.callbacks",
    "StopAtFatalFinding": "training.callbacks",
    "Policy": "policies.policy",
    "evaluate": "policies.evaluate",
    "load_policy": "policies.policy",
    "read_runs": "insight.frame",
    "Encoder": "networks.encoders.base",
    "Memory": "networks.memory",
    "ValueHead": "values.head",
    "ValueScale": "values.scale",
    "ValueClip": "values.clips",
    "Balancer": "losses.balancers.base",
    "AuxiliaryLoss": "losses.auxiliary",
}
__all__ = [
    "AuxiliaryLoss",
    "Balancer",
    "Callback",
    "Config",
    "Encoder",
    "Memory",
    "Policy",
    "RecordVideo",
    "StopAtFatalFinding",
    "StopAtNoImprovement",
    "StopAtReturn",
    "Trainer",
    "evaluate",
    "ValueClip",
    "ValueHead",
    "ValueScale",
    "load_policy",
    "read_runs",
]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Public names, imported on first use, so that reading runs does not wait for torch."""
    if name in _HOMES:
        return getattr(import_module(f"ppo.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'ppo' has no attribute {name!r}")


def __dir__() -> list[str]:
    """What completion shows: the public names, and the rooms that are imported already."""
    rooms = [name for name in globals() if f"ppo.{name}" in modules]
    hidden = [name for name in globals() if name.startswith("__")]
    return sorted({*__all__, *rooms, *hidden})
