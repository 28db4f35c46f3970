"""Learning of the committed configurations over several seeds, by deterministic evaluation.

    python benchmarks/learning.py [--configs cartpole pendulum ...] [--seeds 5]

Writes benchmarks/results/learning.json and learning.md. Existing runs are not
repeated; delete the results file to start anew.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from ppo import Config, Trainer
from ppo.policies.evaluate import evaluate_run

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
GOALS = {
    "cartpole": ("CartPole-v1", 475.0, "mean_return"),
    "pendulum": ("Pendulum-v1", -200.0, "mean_return"),
    "acrobot": ("Acrobot-v1", -90.0, "mean_return"),
    "double_integrator": ("DoubleIntegrator-v0", 0.9, "success_rate"),
}
EPISODES = 100


def train_once(name: str, seed: int) -> dict[str, Any]:
    """One training and its evaluation over 100 deterministic episodes."""
    path = ROOT / "configs" / f"{name}.yaml"
    source = path if path.exists() else ROOT / "config.yaml"
    config = Config.load(source, overrides=[f"system.seed={seed}"])
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        summary = Trainer(config, folder).train()
        seconds = time.perf_counter() - started
        found = evaluate_run("run0001", Path(folder), EPISODES, seed=10_000 + seed)
    return {
        "config": name,
        "seed": seed,
        "env_steps": summary["env_steps"],
        "seconds": round(seconds, 1),
        "last_100_training_episodes": summary["final_return"],
        **found,
    }


def table(runs: list[dict[str, Any]]) -> str:
    """One line per configuration."""
    lines = [
        "| environment | steps | goal | seeds that reach it | deterministic evaluation, each seed |"
        " last 100 training episodes |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, (env, goal, field) in GOALS.items():
        mine = [run for run in runs if run["config"] == name]
        if not mine:
            continue
        reached = sum(run[field] >= goal for run in mine)
        figures = ", ".join(f"{run[field]:.4g}" for run in mine)
        training = ", ".join(f"{run['last_100_training_episodes']:.4g}" for run in mine)
        lines.append(
            f"| {env} | {mine[0]['env_steps']:,} | {field} >= {goal:g} | {reached} of {len(mine)} |"
            f" {figures} | {training} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--configs", nargs="+", default=list(GOALS), choices=list(GOALS))
    parser.add_argument("--seeds", type=int, default=5)
    args = parser.parse_args()
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / "learning.json"
    runs = json.loads(path.read_text())["runs"] if path.exists() else []
    done = {(run["config"], run["seed"]) for run in runs}
    for name in args.configs:
        for seed in range(1, args.seeds + 1):
            if (name, seed) in done:
                continue
            runs.append(train_once(name, seed))
            print(json.dumps(runs[-1]), flush=True)
            about = {"torch": torch.__version__, "machine": platform.machine(), "threads": 1}
            command = "python benchmarks/learning.py"
            content = {"command": command, "machine": about, "runs": runs}
            path.write_text(json.dumps(content, indent=1) + "\n")
            (RESULTS / "learning.md").write_text(f"`{command}`\n\n{table(runs)}")


if __name__ == "__main__":
    main()
