"""Runs to compare: several seeds of several settings, and those that other libraries write."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from insight_runs import SETTINGS, event_file, healthy, write_run


def settings(rate: float) -> dict:
    tree = json.loads(json.dumps(SETTINGS))
    tree["ppo"]["learning_rate"] = rate
    return tree


def runs(folder: Path, levels: dict[float, float], seeds: int = 4, batches: int = 40) -> list[Path]:
    """Runs of each learning rate, whose returns lie at a level, with noise between seeds."""
    paths = []
    for rate, level in levels.items():
        for seed in range(seeds):
            noise = 10 * np.random.default_rng([int(rate * 1e6), seed]).normal()
            records = healthy(batches, seed=seed, level=level + noise)
            path = folder / f"run{len(paths) + 1:04d}"
            paths.append(write_run(path, records, settings(rate), seed=seed))
    return paths


def foreign_run(folder: Path, name: str, level: float = 0.0) -> Path:
    """A log of Stable-Baselines3, which tells neither its seed nor its environment."""
    points = [(i * 1000, level + i * 1.0) for i in range(1, 31)]
    tags = {"rollout/ep_rew_mean": points, "train/policy_gradient_loss": points}
    return event_file(folder / name / "events.out.tfevents.1700000000.a", tags).parent


def cleanrl_run(folder: Path, seed: int, rate: float, env: str = "CartPole-v1") -> Path:
    from torch.utils.tensorboard import SummaryWriter

    rows = {"env_id": env, "learning_rate": rate, "seed": seed, "clip_vloss": True, "track": seed}
    with SummaryWriter(str(folder)) as writer:
        table = "\n".join(f"|{key}|{value}|" for key, value in rows.items())
        writer.add_text("hyperparameters", "|param|value|\n|-|-|\n" + table)
        for i in range(20):
            writer.add_scalar("losses/value_loss", 1.0, 100 * i)
            writer.add_scalar("charts/SPS", 100, 100 * i)
            writer.add_scalar("charts/episodic_return", float(i), 100 * i)
    return folder
