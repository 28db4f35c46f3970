"""Proof that a refactoring changes nothing: short runs of two trees, equal to the bit.

    python benchmarks/same_bits.py --base HEAD~1      # this working tree against a commit

Each run of RUNS is trained by the base commit (checked out into a temporary worktree) and by this
tree; every number of loss_metrics.json must be the same, clock fields aside. The base's records are
kept in a cache folder by commit and torch version, so that the next comparison costs half. Fields
that only one tree writes are named, and count as a difference unless --new-fields is given.

Exit status: 0 equal, 1 different.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from runs import FIXED

ROOT = Path(__file__).resolve().parents[1]
CLOCK = ("wall_time_s", "steps_per_second")
SMALL = ["evaluation.interval=2", "evaluation.episodes=2", "logging.tensorboard=false"]
FEW = ["env.num_envs=8", "ppo.num_steps=32", "ppo.num_minibatches=4", "ppo.num_epochs=3"]
OFF = [
    "ppo.use_relative_value_clip=false",
    "ppo.normalize_returns=false",
    "ppo.value_clip_epsilon=200.0",
    "ppo.value_loss_weight=0.5",
]
EAGER, COMPILED = "system.compile=never", "system.compile=always"


def _run(steps: int, env: str, *settings: str, config: str | None = None) -> dict[str, Any]:
    fixed = [] if config else FIXED  # rules of what is chosen may change
    whole = [f"env.id={env}", f"train.total_timesteps={steps}", *SMALL, *settings]
    return {
        "settings": [*fixed, *whole],
        "config": config,
    }


RUNS: dict[str, dict[str, Any]] = {
    "torch_continuous": _run(24_000, "DoubleIntegrator-v0", "env.num_envs=64", EAGER),
    "torch_discrete": _run(1_280, "CartPole-v1", "env.backend=torch", *FEW, EAGER),
    "fixes_off": _run(24_000, "DoubleIntegrator-v0", "env.num_envs=64", *OFF, EAGER),
    "sync_memory": _run(1_280, "CartPole-v1", "env.backend=sync", "network.memory=gru", *FEW,
                        EAGER),
    "vector": _run(1_280, "CartPole-v1", "env.backend=vector", *FEW, EAGER),
    "async": _run(1_280, "Pendulum-v1", "env.backend=async", *FEW, EAGER),
    "components": _run(1_280, "ThreeScales-v0", *FEW, "balancing.kind=gradient_norm", EAGER),
    "auxiliary": _run(1_280, "Pendulum-v1", "env.backend=torch", *FEW, EAGER,
                      "auxiliary.trajectory_weight=0.1", "auxiliary.time_to_end_weight=0.1",
                      "balancing.kind=uncertainty", "ppo.value_loss=hl_gauss"),
    "stacked": _run(1_280, "Acrobot-v1", *FEW, EAGER, "env.frame_stack=3",
                    "ppo.learning_rate_schedule=kl", "ppo.target_kl=0.02"),
    "recipe": _run(6_000, "Swimmer-v5", "env.num_envs=4", "system.compile=never",
                   config="configs/mujoco.yaml"),
    "compiled": _run(3_072, "CartPole-v1", "env.backend=torch", *FEW, COMPILED),
    "compiled_host": _run(768, "Pendulum-v1", "env.backend=sync", *FEW, COMPILED),
}  # fmt: skip


def train(tree: Path, name: str, results: Path) -> list[dict[str, Any]]:
    """The batch records of one run of RUNS, trained by the code of `tree`."""
    run = RUNS[name]
    folder = results / name
    command = [sys.executable, "-m", "ppo", "--mode", "train", "--quiet"]
    # The configurations are the base's own: this tree may have dropped a key.
    command += ["--config", str(tree / (run["config"] or "config.yaml"))]
    command += ["--results", str(folder)]
    for setting in run["settings"]:
        command += ["--set", setting]
    environment = {**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=tree, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    if done.returncode:
        raise SystemExit(f"{name} in {tree}: exit {done.returncode}\n{done.stdout.decode()}")
    text = next(folder.glob("run*/loss_metrics.json")).read_text()
    return json.loads(text)["batches"]


def base_records(commit: str, name: str) -> list[dict[str, Any]]:
    """The records that the code of `commit` gives, from the cache if they are there."""
    import torch

    cache = Path(tempfile.gettempdir()) / "same_bits" / f"{commit[:12]}-{torch.__version__}"
    kept = cache / f"{name}.json"
    key = json.dumps(RUNS[name])
    if kept.exists() and (found := json.loads(kept.read_text()))["key"] == key:
        return found["records"]
    tree = cache / "tree"
    if not tree.exists():
        cache.mkdir(parents=True, exist_ok=True)
        subprocess.run(["git", "worktree", "prune"], cwd=ROOT, check=True)
        subprocess.run(
            ["git", "worktree", "add", "--detach", str(tree), commit],
            cwd=ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
    with tempfile.TemporaryDirectory() as results:
        records = train(tree, name, Path(results))
    kept.write_text(json.dumps({"key": key, "records": records}))
    return records


def differences(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> tuple[list[str], set[str]]:
    """Fields whose numbers differ, with the first batch where they do; and fields of one alone."""
    found, lonely = [], set()
    if len(old) != len(new):
        found.append(f"{len(old)} batches, now {len(new)}")
    for before, after in zip(old, new, strict=False):
        lonely |= before.keys() ^ after.keys()
        for field in before.keys() & after.keys() - set(CLOCK):
            if json.dumps(before[field]) != json.dumps(after[field]):
                where = f"batch {before['batch']}: {field}"
                found.append(f"{where}: {before[field]!r} -> {after[field]!r}"[:200])
    return found, lonely


def main() -> int:
    """Compares every run; prints a line for each."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--base", default="HEAD", help="commit to compare with (HEAD)")
    parser.add_argument("--new-fields", action="store_true", help="fields may come and go")
    parser.add_argument("runs", nargs="*", default=[], metavar="RUN", help=", ".join(RUNS))
    args = parser.parse_args()
    commit = subprocess.check_output(["git", "rev-parse", args.base], cwd=ROOT, text=True).strip()
    wrong = 0
    for name in args.runs or RUNS:
        old = base_records(commit, name)
        with tempfile.TemporaryDirectory() as results:
            new = train(ROOT, name, Path(results))
        found, lonely = differences(old, new)
        if lonely and not args.new_fields:
            found.append(f"fields of one tree alone: {', '.join(sorted(lonely))}")
        told = "equal" if not found else "DIFFERENT"
        print(f"{name:<18} {len(new):>3} batches  {told}", flush=True)
        for line in found[:5]:
            print(f"    {line}")
        wrong += bool(found)
    print(f"{len(args.runs or RUNS) - wrong} of {len(args.runs or RUNS)} runs equal to the bit")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
