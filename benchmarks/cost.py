"""Seconds per million environment steps over numbers of environments and widths of the network.

    python benchmarks/cost.py [--compile always]

Processor time of one torch thread on the shipped environment, 32 steps, 4 epochs, 4 minibatches;
memory is that of the rollout and batch tensors for one environment and step.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from torch.utils._pytree import tree_leaves

from ppo.algorithm import build
from ppo.config import Config

RESULTS = Path(__file__).parent / "results"
ENVS = (8, 32, 128, 512, 2048, 8192)
WIDTHS = (64, 128, 256, 512, 1024)


def cost(num_envs: int, width: int, compile_mode: str) -> dict[str, Any]:
    """Median processor time of a few batches."""
    settings = {
        "env.num_envs": num_envs,
        "env.calibration_steps": 0,
        "network.hidden_sizes": f"[{width}, {width}]",
        "ppo.num_steps": 32,
        "ppo.num_epochs": 4,
        "ppo.num_minibatches": 4,
        "system.device": "cpu",
        "system.compile": compile_mode,
    }
    config = Config.from_dict({}, [f"{key}={value}" for key, value in settings.items()])
    device = build.prepare_torch(config)
    learner = build.build_learner(config, build.build_environments(config, device), device)
    learner.start()
    learner.step()
    begin, spent = time.perf_counter(), []
    while len(spent) < 3 or time.perf_counter() - begin < 2.0:
        before = time.process_time()
        learner.step()
        spent.append(time.process_time() - before)
        if sum(spent) > 20.0:
            break
    rollout, _ = learner.collector(0)
    batch, _ = learner.prepare(rollout)
    kept = tree_leaves((rollout._replace(beyond=None), batch))
    size = sum(t.numel() * t.element_size() for t in kept if isinstance(t, torch.Tensor))
    steps = learner.steps_per_batch
    return {
        "num_envs": num_envs,
        "width": width,
        "seconds_per_million_steps": round(statistics.median(spent) / steps * 1e6, 1),
        "bytes_per_environment_and_step": round(size / steps),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--compile", choices=("never", "always"), default="never")
    args = parser.parse_args()
    torch.set_num_threads(1)
    cases = [(n, 64) for n in ENVS] + [(256, width) for width in WIDTHS]
    rows = []
    for num_envs, width in cases:
        rows.append(cost(num_envs, width, args.compile))
        print(json.dumps(rows[-1]), flush=True)
    name = "speed_cost" if args.compile == "never" else "speed_cost_compiled"
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
