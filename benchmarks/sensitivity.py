"""What an automatic choice is worth: twice and half of it, by hand, one at a time.

    python benchmarks/sensitivity.py [--choices ppo.learning_rate ...] [--tasks ...] [--seeds 3]
    python benchmarks/sensitivity.py --table

The shipped config.yaml with `env.id` on six tasks, 200,000 steps each; then the same with one
setting doubled or halved, whatever `auto` had chosen for the task. A run's score is its return (20
episodes of the policy's mode) between that of a random policy (0) and a good one (1), see TASKS. A
row is the mean gain over tasks, beside the spread of seeds: the standard deviation over seeds of
the unchanged configuration, its root mean square over tasks. A choice may stay automatic as long as
no row gains more than that.

Every run appends a line to benchmarks/results/sensitivity.jsonl; existing ones are not repeated.
"""

from __future__ import annotations

import argparse
import math
import re
import statistics
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

from jobs import Run, lines_of, run_all
from one_config import RESULTS

STEPS, EPISODES = 200_000, 20
TASKS = {  # returns of a random policy and of a good one
    "CartPole-v1": (22.0, 500.0),
    "Acrobot-v1": (-500.0, -80.0),
    "Pendulum-v1": (-1200.0, -150.0),
    "MountainCarContinuous-v0": (-33.0, 94.0),
    "LunarLander-v3": (-180.0, 260.0),
    "Hopper-v5": (18.0, 3000.0),
}
CHOICES = (  # the most influential first
    "ppo.learning_rate",
    "network.initial_log_std",  # the deviation is doubled and halved, not its logarithm
    "ppo.num_steps",
    "ppo.num_epochs",
    "ppo.num_minibatches",
    "ppo.target_kl",
    "env.num_envs",
    "network.hidden_sizes",
)
UNCHANGED = ("", 1.0)


def varied(config: Any, choice: str, times: float) -> list[str]:
    """The override that multiplies a chosen setting; none where that is impossible.

    Args:
        config: the resolved configuration of the task.
    """
    section, key = choice.split(".")
    value = getattr(getattr(config, section), key)
    if value is None:
        return []
    if choice.endswith("log_std"):
        return [f"{choice}={value + math.log(times)}"]
    if isinstance(value, list):
        return [f"{choice}={[round(times * part) for part in value]}"]
    return [f"{choice}={round(times * value) if isinstance(value, int) else times * value}"]


def train(choice: str, times: float, task: str, seed: int) -> Run:
    """One run with `choice`, a setting, multiplied; an empty one changes nothing."""
    warnings.filterwarnings("ignore")
    import torch

    from ppo import Config, Trainer
    from ppo.policies.evaluate import evaluate
    from ppo.policies.policy import load_policy

    torch.set_num_threads(1)
    begun = time.process_time()
    sets = [f"env.id={task}", f"system.seed={seed}", f"train.total_timesteps={STEPS}"]
    sets += ["logging.tensorboard=false", "evaluation.interval=0"]
    plain = len(sets)
    with tempfile.TemporaryDirectory() as folder:
        if choice:
            with Trainer(Config.load(None, sets), f"{folder}/look") as trainer:
                sets += varied(trainer.config, choice, times)
        with Trainer(Config.load(None, sets), folder) as trainer:
            summary = trainer.train()
        policy = load_policy(Path(folder) / "run0001", which="latest")
        played = evaluate(policy, episodes=EPISODES, seed=10_000 + seed)
    return {
        "choice": choice,
        "times": times,
        "task": task,
        "seed": seed,
        "changed": sets[plain:],
        "evaluation": played["mean_return"],
        "training": summary["final_return"],
        "cpu_s": round(time.process_time() - begun),
    }


# ---- the table


def score(run: Run) -> float:
    low, high = TASKS[run["task"]]
    return float((run["evaluation"] - low) / (high - low))


def table(runs: list[Run]) -> str:
    """A row for each choice and direction, of the tasks and seeds that both have."""
    scores: dict[tuple[str, float], dict[tuple[str, int], float]] = {}
    for run in runs:
        kind = scores.setdefault((run["choice"], run["times"]), {})
        kind[run["task"], run["seed"]] = score(run)
    base = scores.get(UNCHANGED, {})
    lines = [
        "| choice | times | mean gain | spread of seeds | tasks | runs | gain by task |",
        "|" + " --- |" * 7,
    ]
    for (choice, times), found in scores.items():
        shared = [key for key in found if key in base and choice]
        tasks = [task for task in TASKS if any(key[0] == task for key in shared)]
        if not tasks:
            continue
        gains, spreads = {}, []
        for task in tasks:
            keys = [key for key in shared if key[0] == task]
            gains[task] = statistics.fmean(found[key] - base[key] for key in keys)
            of_task = [value for key, value in base.items() if key[0] == task]
            spreads.append(statistics.variance(of_task) if len(of_task) > 1 else math.nan)
        spread = math.sqrt(statistics.fmean(spreads))
        shown = "one seed" if math.isnan(spread) else f"{spread:.3f}"
        by_task = ", ".join(
            f"{task.rpartition('-')[0]} {gain:+.2f}" for task, gain in gains.items()
        )
        lines.append(
            f"| `{choice}` | {times:g} | {statistics.fmean(gains.values()):+.3f} | {shown} | "
            f"{len(tasks)} | {len(shared)} | {by_task} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=re.split(r"\n\n", __doc__ or "")[0])
    parser.add_argument("--choices", nargs="+", choices=CHOICES, default=list(CHOICES))
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--table", action="store_true", help="from the records that are there")
    args = parser.parse_args()
    path = RESULTS / "sensitivity.jsonl"
    kinds = [UNCHANGED, *((choice, times) for choice in args.choices for times in (2.0, 0.5))]
    jobs = [
        (*kind, task, seed)
        for kind in kinds
        for seed in range(1, args.seeds + 1)
        for task in args.tasks
        if not args.table
    ]
    run_all(train, jobs, ("choice", "times", "task", "seed"), path, args.workers)
    (RESULTS / "sensitivity.md").write_text(table(lines_of(path)))


if __name__ == "__main__":
    main()
