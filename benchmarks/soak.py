"""Many tiny batches in one process: growth of memory, leaked descriptors and processes.

    python benchmarks/soak.py --batches 86400 --env CartPole-v1 --out benchmarks/results/soak.json

Metrics, episodes, TensorBoard, the doctor, checkpoints and evaluations are all on. The slope is
that of Theil and Sen over the samples after the first fifth.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ppo import Config, Trainer
from ppo.training.observers import Callback

SETTINGS = {
    "env.num_envs": 2, "env.calibration_steps": 8, "ppo.num_steps": 8, "ppo.num_epochs": 1,
    "ppo.num_minibatches": 1, "network.hidden_sizes": "[8]", "train.checkpoint_interval": 20,
    "evaluation.interval": 500, "evaluation.episodes": 1, "system.compile": "never",
    "system.device": "cpu", "env.workers": 1,
}  # fmt: skip


class Meter(Callback):
    """An observer that samples the process at intervals of batches."""

    def __init__(self, every: int) -> None:
        self.every = every
        self.samples: list[dict[str, int]] = []

    def on_batch(self, trainer: Any, record: dict[str, Any]) -> None:
        if record["batch"] % self.every == 0:
            self.samples.append({"batch": record["batch"], **look()})


def look() -> dict[str, int]:
    """Resident kB, open descriptors, threads and child processes of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return {
        "rss_kb": pages * os.sysconf("SC_PAGE_SIZE") // 1024,
        "descriptors": len(os.listdir("/proc/self/fd")),
        "threads": len(os.listdir("/proc/self/task")),
        "children": len(children),
    }


def slope(x: np.ndarray, y: np.ndarray) -> float:
    """Median of the slopes between all pairs of samples."""
    i, j = np.triu_indices(len(x), 1)
    return float(np.median((y[j] - y[i]) / (x[j] - x[i])))


def soak(batches: int, settings: dict[str, Any]) -> dict[str, Any]:
    """Trains in a temporary folder and reports growth."""
    per_batch = settings["env.num_envs"] * settings["ppo.num_steps"]
    values = settings | {"train.total_timesteps": per_batch * batches}
    config = Config.from_dict({}, [f"{key}={value}" for key, value in values.items()])
    meter = Meter(max(1, batches // 500))
    before = set(os.listdir("/dev/shm"))
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as results:
        Trainer(config, results, callbacks=[meter]).train()
        files = sum(1 for path in Path(results).rglob("*") if path.is_file())
    settled = meter.samples[len(meter.samples) // 5 :]
    columns = {name: np.array([s[name] for s in settled], float) for name in settled[0]}
    return {
        "batches": batches,
        "seconds": round(time.perf_counter() - begun, 1),
        "rss_kb_per_batch": round(slope(columns["batch"], columns["rss_kb"]), 4),
        "rss_kb_first_and_last": [columns["rss_kb"][0], columns["rss_kb"][-1]],
        **{
            f"{name}_min_max": [int(columns[name].min()), int(columns[name].max())]
            for name in ("descriptors", "threads", "children")
        },
        "files_in_the_run_folder": files,
        "left_in_dev_shm": len(set(os.listdir("/dev/shm")) - before),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batches", type=int, default=86_400)
    parser.add_argument("--env", default="CartPole-v1")
    parser.add_argument("--backend", default="auto", help="async shows its workers as children")
    parser.add_argument("--out", type=Path, help="JSON file; results are filed by environment")
    args = parser.parse_args()
    torch.set_num_threads(1)
    settings = SETTINGS | {"env.id": args.env, "env.backend": args.backend}
    found = soak(args.batches, settings) | {"torch": torch.__version__, "os": platform.platform()}
    print(json.dumps(found, indent=2))
    if args.out is not None:
        earlier = json.loads(args.out.read_text()) if args.out.exists() else {}
        earlier[f"{args.env} {args.backend}"] = found
        args.out.write_text(json.dumps(earlier, indent=2) + "\n")


if __name__ == "__main__":
    main()
