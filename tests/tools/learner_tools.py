"""What the tests of masks, memory and pixels share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from ppo import Config
from ppo.algorithm import build
from ppo.algorithm.learner import Learner

HOST = torch.device("cpu")
SMALL = {
    "env.num_envs": 4, "env.backend": "sync", "ppo.num_steps": 16, "ppo.num_minibatches": 2,
    "ppo.num_epochs": 2, "train.total_timesteps": 256, "train.checkpoint_interval": 1,
    "evaluation.interval": 2, "evaluation.episodes": 4, "env.calibration_steps": 8,
    "network.hidden_sizes": "[16]", "network.memory_size": 8, "logging.tensorboard": "false",
    "system.compile": "never", "system.device": "cpu",
}  # fmt: skip


def settings(env: str, **more: Any) -> Config:
    """A small run; dots in names are written as double underscores."""
    values = SMALL | {"env.id": env} | {k.replace("__", "."): v for k, v in more.items()}
    return Config.from_dict({}, [f"{key}={value}" for key, value in values.items()])


def learner(env: str, **more: Any) -> Learner:
    """A learner at the start of its first batch."""
    config = settings(env, **more)
    build.prepare_torch(config)
    made = build.build_learner(config, build.build_environments(config, HOST), HOST)
    made.start()
    return made


def records(folder: Path) -> list[dict[str, Any]]:
    """The records of a run without its times."""
    batches = json.loads((folder / "loss_metrics.json").read_text())["batches"]
    return [{k: v for k, v in r.items() if k not in ("wall_time_s", "steps_per_second")}
            for r in batches]  # fmt: skip
