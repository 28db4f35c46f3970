"""The effect of action masks and of memory, over seeds, as tables.

    python benchmarks/masks_and_memory.py masks     Taxi with its action masks and without
    python benchmarks/masks_and_memory.py memory    T-maze, corridor of 10: no memory, LSTM, GRU
    python benchmarks/masks_and_memory.py all

An interrupted experiment continues. Results go to benchmarks/results/masks.json and
memory.json, and as tables beside them. On one core about 3 and 4 minutes.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from typing import Any

import gymnasium as gym
import torch
from runs import FIXED, RESULTS, ResultsFile, mean, parted, rounded, say, spread

from ppo.config import Config
from ppo.networks import packing
from ppo.training.trainer import Trainer

COMMON = [
    "env.backend=sync", "env.num_envs=16", "ppo.num_minibatches=4", "ppo.num_epochs=4",
    "ppo.entropy_coefficient=0.01", "evaluation.interval=0", "evaluation.episodes=200",
    "system.compile=never", "system.device=cpu", "logging.tensorboard=false",
    "logging.episodes=false", "logging.doctor=false",
]  # fmt: skip
TAXI = next((f"Taxi-v{n}" for n in (3, 4) if f"Taxi-v{n}" in gym.registry), "Taxi-v3")
POINTS = 8  # of a learning curve


class Invalid:
    """Counts invalid actions."""

    def __init__(self, trainer: Trainer) -> None:
        self.taken = self.steps = 0
        self.collector, learner = trainer.learner.collector, trainer.learner
        self.layout = trainer.envs.layout
        learner.collector = self  # type: ignore[assignment]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.collector, name)

    def __call__(self, *counters: int) -> Any:
        rollout, episodes = self.collector(*counters)
        mask = packing.mask(rollout.obs, self.layout)
        if mask is not None:
            self.taken += int((~mask.gather(-1, rollout.actions)).sum())
            self.steps += rollout.log_probs.numel()
        return rollout, episodes


def run(overrides: list[str], seed: int) -> dict[str, Any]:
    """One training run: its curve, its evaluation, and how many invalid actions it took."""
    config = Config.from_dict({}, [*FIXED, *COMMON, *overrides, f"system.seed={seed}"])
    torch.set_num_threads(1)
    started = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(config, folder)
        counted = Invalid(trainer)
        trainer.train()
        assert trainer.folder is not None
        parts = parted(trainer.folder.records(), POINTS)
    return {
        "seed": seed,
        "env_steps": [part[-1]["env_steps"] for part in parts],
        "returns": [rounded(mean(r["mean_episode_return"] for r in part)) for part in parts],
        "success": [rounded(mean(r["success_rate"] for r in part)) for part in parts],
        "evaluated_return": rounded(trainer.evaluations[-1]["mean_return"]),
        "evaluated_success": trainer.evaluations[-1]["success_rate"],
        "invalid_actions": counted.taken,
        "masked_steps": counted.steps,
        "cpu_seconds": round(time.process_time() - started, 1),
    }


def masks(seeds: int) -> None:
    base = [f"env.id={TAXI}", "ppo.num_steps=128", "train.total_timesteps=204800"]
    cases = {"auto": [], "never": ["env.action_masks=never"]}
    header = {"title": f"{TAXI}: with and without its action masks", "torch": torch.__version__}
    file = ResultsFile(RESULTS / "masks.json", header)
    for seed in range(1, seeds + 1):
        for name, more in cases.items():
            if not file.has(case=name, seed=seed):
                file.add({"case": name, **run([*base, *more], seed)})
                say(f"masks {name} seed {seed}: {file.runs[-1]['evaluated_return']}")
    table(file, list(cases), "env.action_masks", "returns", "evaluated_return", "masks")


def memory(seeds: int) -> None:
    header = {"title": "T-maze: success rate with and without memory", "torch": torch.__version__}
    file = ResultsFile(RESULTS / "memory.json", header)
    cases = ["none", "lstm", "gru"]
    base = [
        "env.id=TMaze-v0", "env.kwargs={length: 10}", "ppo.num_steps=64",
        "ppo.learning_rate_schedule=linear", "train.total_timesteps=61440",
    ]  # fmt: skip
    for seed in range(1, seeds + 1):
        for name in cases:
            if not file.has(case=name, seed=seed):
                file.add({"case": name, **run([*base, f"network.memory={name}"], seed)})
                say(f"{name} seed {seed}: {file.runs[-1]['evaluated_success']}")
    table(file, cases, "network.memory", "success", "evaluated_success", "memory")


def table(
    file: ResultsFile, cases: list[str], what: str, curve: str, final: str, command: str
) -> None:
    """Writes the runs as a table beside the results."""
    lines = [f"# {file.header['title']}", "", f"`python benchmarks/masks_and_memory.py {command}`"]
    lines += ["", f"Means over seeds of `{curve}` in eighths of the training, then of {final},"]
    lines += ["200 episodes of the policy's mode, with the standard deviation over seeds.", ""]
    lines += [f"| {what} | " + " | ".join(f"{i + 1}/{POINTS}" for i in range(POINTS))
              + " | evaluated | runs | steps shown | invalid actions | CPU s |"]  # fmt: skip
    lines += ["|" + " --- |" * (POINTS + 6)]
    for name in cases:
        found = file.of(case=name)
        if not found:
            continue
        means = [mean(r[curve][i] for r in found) for i in range(POINTS)]
        last = [r[final] for r in found]
        asked = sum(r["masked_steps"] for r in found)
        taken = f"{sum(r['invalid_actions'] for r in found)} of {asked:,}" if asked else "not asked"
        cells = [name, *(f"{m:.3g}" for m in means), f"{mean(last):.3g} +- {spread(last):.2g}"]
        cells += [str(len(found)), f"{found[0]['env_steps'][-1]:,}", taken]
        cells += [f"{mean(r['cpu_seconds'] for r in found):.0f}"]
        lines.append("| " + " | ".join(cells) + " |")
    file.path.with_suffix(".md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("which", choices=["masks", "memory", "all"])
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    for name, function in (("masks", masks), ("memory", memory)):
        if arguments.which in (name, "all"):
            function(arguments.seeds)


if __name__ == "__main__":
    main()
