"""Run folders and logs made up for tests: what a healthy trainer would have written, and not."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import yaml

SETTINGS: dict[str, Any] = {
    "env": {"id": "Made-v0", "num_envs": 16, "normalize_observations": True},
    "ppo": {
        "learning_rate": 1e-3,
        "num_epochs": 10,
        "num_minibatches": 4,
        "gamma": 0.99,
        "normalize_returns": True,
        "return_scale": 10.0,
        "value_clip_epsilon": 0.2,
        "max_grad_norm": 0.5,
    },
    "network": {"action_squash": "clip"},
    "system": {"seed": 1},
}


def healthy(batches: int = 60, seed: int = 0, scale: float = 1.0, level: float = 0.0) -> list[dict]:
    """Records of a run that learns; `scale` multiplies the rewards and changes nothing else."""
    draw = np.random.default_rng(seed)
    records = []
    for i in range(batches):
        grown = 1 - np.exp(-i / (0.4 * batches))
        ev = min(0.97, grown * 1.2 + 0.02 * draw.normal())
        episode = (-800 + 1500 * grown + 20 * draw.normal() + level) * scale
        spread = (300 - 100 * grown) * scale
        left = max(1 - ev, 0.02)
        records.append(
            {
                "batch": i,
                "env_steps": 4096 * (i + 1),
                "episodes": 20 * (i + 1),
                "wall_time_s": 0.5 * (i + 1),
                "steps_per_second": 8000.0,
                "total_loss": 10 * left,
                "policy_loss": -0.01,
                "value_loss": 40 * left,
                "entropy": 1.4 - 0.6 * grown,
                "value_loss_weight": 0.25,
                "entropy_coefficient": 0.0,
                "normalized_value_loss": left,
                "explained_variance": ev,
                "explained_variance_after": min(ev + 0.1, 0.99),
                "bias_share": 0.05,
                "error_over_std": left**0.5,
                "batches_to_reach": 2.0,
                "return_drift": 0.05,
                "frame_age": 0.1,
                "reward_outlier": 6.0,
                "reward_zero_share": 0.0,
                "value_to_policy_gradient": 3.0,
                "saturated_units": 0.1,
                "dead_units": 0.01,
                "effective_rank": 0.5,
                "ratio_first": 0.0,
                "approx_kl": 0.01 + 0.002 * draw.normal(),
                "approx_kl_first_epoch": 0.004,
                "approx_kl_last_epoch": 0.01,
                "entropy_relative": None,
                "obs_outlier_share": 0.0,
                "obs_std_ratio": 3.0,
                "action_out_of_bounds_share": 0.1,
                "timeout_share": 0.5,
                "at_limit_share": 0.5,
                "reward_nonfinite": 0,
                "skipped_minibatches": 0,
                "clip_fraction": 0.12,
                "value_clip_fraction": 0.02,
                "grad_norm": 0.8,
                "grad_clip_factor": 1.6,
                "grad_clipped_fraction": 0.7,
                "value_gradient_share": 0.7,
                "mean_episode_return": episode,
                "mean_episode_length": 150.0,
                "success_rate": min(grown, 0.9),
                "return_mean": 0.4 * episode,
                "return_std": spread,
                "return_min": 0.4 * episode - 3 * spread,
                "return_max": 0.4 * episode + 3 * spread,
                "target_mean": 0.0,
                "target_std": 10.0,
                "target_min": -30.0,
                "target_max": 30.0,
                "max_sample_value_loss": 400.0,
                "learning_rate": 1e-3,
                "policy_std": 1.0 - 0.5 * grown,
                "components": {},
                "events": [],
            }
        )
    return records


def write_run(
    folder: Path,
    records: list[dict],
    settings: dict[str, Any] | None = None,
    status: str = "finished",
    seed: int = 1,
) -> Path:
    """A run folder as the contract has it."""
    folder.mkdir(parents=True)
    tree = json.loads(json.dumps(SETTINGS if settings is None else settings))
    tree.setdefault("system", {})["seed"] = seed
    (folder / "config.yaml").write_text(yaml.safe_dump(tree))
    lines = ",\n".join(json.dumps(record) for record in records)
    head = f'{{"schema_version": 1, "run": "{folder.name}", "batches": [\n'
    (folder / "loss_metrics.json").write_text(head + lines + "\n]}\n")
    (folder / "summary.json").write_text(json.dumps({"status": status}))
    return folder


def event_file(file: Path, scalars: dict[str, list[tuple[int, float]]]) -> Path:
    """A TensorBoard event file with these scalars (checksums left zero)."""
    from tensorboard.compat.proto.event_pb2 import Event

    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("wb") as out:
        for tag, points in scalars.items():
            for step, value in points:
                event = Event(step=step, wall_time=0.0)
                event.summary.value.add(tag=tag, simple_value=value)
                data = event.SerializeToString()
                out.write(struct.pack("<QI", len(data), 0) + data + struct.pack("<I", 0))
    return file
