"""A search on CartPole from deliberately bad ranges, killed in the middle and started again.

python benchmarks/tune.py [--trials 30] [--steps 40000] [--folder DIR]

Two trials at a time. After a third of the trials the search is killed by SIGKILL and started again
by the same command. Then the best settings are trained with the budget of
benchmarks/configs/cartpole.yaml and played for 100 episodes. Needs the extra "tune".
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import ppo
from ppo import Config, Trainer, evaluate, load_policy

RANGES = [
    "ppo.learning_rate=1e-7..1 log",
    "ppo.clip_epsilon=0.01..2 log",
    "ppo.gamma=0.1,0.5,0.9,0.98,0.99,0.999",
    "ppo.num_epochs=1..20",
    "ppo.num_minibatches=1,4,16",
    "ppo.entropy_coefficient=1e-4..1 log",
]
CARTPOLE = Path(__file__).parent / "configs" / "cartpole.yaml"


def trials_in(folder: Path) -> list[tuple[int, str, dict]]:
    """Number, state and attributes of each trial of the search."""
    from ppo.insight.experiments.study import open_storage, open_study, optuna_of

    study = open_study(optuna_of(), open_storage(folder / "experiment0001"), 1)
    return [(t.number, t.state.name, t.user_attrs) for t in study.get_trials(deepcopy=False)]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--steps", type=int, default=40_000)
    parser.add_argument("--folder", type=Path, default=Path("tune_results"))
    args = parser.parse_args()
    command = [sys.executable, "-m", "ppo", "--mode", "tune", "--config", str(CARTPOLE)]
    command += ["--vary", *RANGES, "--trials", str(args.trials), "--jobs", "2"]
    command += ["--results", str(args.folder), "--set", f"train.total_timesteps={args.steps}"]
    command += ["--set", "logging.tensorboard=false", "--set", "evaluation.interval=0"]
    command += ["--set", "evaluation.episodes=2"]

    first = subprocess.Popen(command)
    journal = args.folder / "experiment0001" / "study.journal"
    while first.poll() is None:
        time.sleep(2)
        over = [t for t in trials_in(args.folder) if t[1] != "RUNNING"] if journal.exists() else []
        if len(over) >= args.trials // 3:
            first.send_signal(signal.SIGKILL)
            break
    first.wait()
    subprocess.run(command, check=True)

    trials = trials_in(args.folder)
    runs = sorted((args.folder / "experiment0001" / "jobs").glob("*/seed1/run*/summary.json"))
    statuses = [json.loads(path.read_text())["status"] for path in runs]
    spent = sum(attributes.get("steps", 0) for _, _, attributes in trials)
    best = Config.load(
        args.folder / "experiment0001" / "best.yaml",
        overrides=[
            "train.total_timesteps=150000",
            "evaluation.interval=20",
            "evaluation.episodes=20",
        ],
    )
    with Trainer(best, args.folder) as trainer:
        trainer.train()
        assert trainer.folder is not None
        found = evaluate(load_policy(trainer.folder.path), episodes=100)
    result = {
        "version": ppo.__version__,
        "trials": len(trials),
        "states": {s: [t[1] for t in trials].count(s) for s in sorted({t[1] for t in trials})},
        "runs": {s: statuses.count(s) for s in sorted(set(statuses))},
        "each_trial_once": sorted({t[0] for t in trials}) == list(range(args.trials)),
        "steps_saved_by_pruning": round(1 - spent / (args.trials * args.steps), 3),
        "best_mean_return_of_100_episodes": found["mean_return"],
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
