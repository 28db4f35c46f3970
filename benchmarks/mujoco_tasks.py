"""MuJoCo with one recipe: returns after a million steps, beside other and published figures.

    python benchmarks/mujoco_tasks.py [--tasks HalfCheetah ...] [--seeds 5] [--workers 2]
    python benchmarks/mujoco_tasks.py --search --variants start relu ... [--tasks ...] [--seeds 2]
    python benchmarks/mujoco_tasks.py --trainer sb3 [--tasks ...] [--seeds 2]
    python benchmarks/mujoco_tasks.py --table

The recipe is configs/mujoco.yaml. The search that led to it began at an initial log standard
deviation of -0.5, plain observation scales, no KL limit and a constant discount; a variant changes
one or more settings of that start. Stable-Baselines3 gets the same network, batch, epochs,
minibatches, learning rate, schedule, KL limit and least discount, with VecNormalize. Every run
appends a line to mujoco.jsonl or mujoco_search.jsonl in benchmarks/results; existing runs are not
repeated, so an interrupted benchmark continues and several processes can share the work. The
tables, mujoco.md and mujoco_search.md, and the picture are made anew from all lines at the end.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import tempfile
import time
from pathlib import Path

from jobs import Run, lines_of, run_all
from mujoco_variants import START, VARIANTS

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
RECIPE = ROOT / "configs" / "mujoco.yaml"
STEPS = 1_000_000
EPISODES = 20
POINTS = 50  # of a learning curve

# Published at 1 million steps: Tianshou's benchmark (10 seeds, mean and std) and rl-zoo.
TASKS = {
    "HalfCheetah": ("5784 +- 1244; 5819", 6000.0),
    "Hopper": ("2609 +- 701; 2410", 2700.0),
    "Walker2d": ("3589 +- 757; 3479", 3700.0),
    "Ant": ("3258 +- 1079; 1327", 3300.0),
    "Humanoid": ("787 +- 194", 1000.0),
    "Swimmer": ("67 +- 99; 282", 120.0),
    "Reacher": ("-4.1 +- 0.3", -4.0),
    "InvertedPendulum": ("1000", 1000.0),
    "InvertedDoublePendulum": ("9231", 9300.0),
}


def curve(ends: list[tuple[float, float]]) -> list[float | None]:
    """Mean return of the episodes that ended in each fiftieth of the run."""
    bins: list[list[float]] = [[] for _ in range(POINTS)]
    for step, episode_return in ends:
        bins[min(POINTS - 1, int(step / STEPS * POINTS))].append(episode_return)
    return [round(statistics.fmean(part), 2) if part else None for part in bins]


def train_ours(task: str, variant: str, seed: int) -> Run:
    import torch

    from ppo import Config, Trainer
    from ppo.policies.evaluate import evaluate
    from ppo.policies.policy import load_policy
    from ppo.runs.folder import RunFolder

    torch.set_num_threads(1)
    changes = [] if variant == "recipe" else START + VARIANTS[variant]
    sets = [f"env.id={task}-v5", f"system.seed={seed}", *changes]
    sets += [f"train.total_timesteps={STEPS}", "logging.tensorboard=false"]
    config = Config.load(RECIPE, overrides=sets)
    with tempfile.TemporaryDirectory() as folder:
        summary = Trainer(config, folder).train()
        policy = load_policy(Path(folder) / "run0001", which="latest")
        played = evaluate(policy, episodes=EPISODES, seed=10_000 + seed)
        run = RunFolder.open(Path(folder), "run0001")
        steps = {record["batch"]: record["env_steps"] for record in run.records()}
        ends = [(steps[int(e["batch"])], float(e["return"])) for e in run.episodes()]
    return {
        "training": summary["final_return"],
        "evaluation": played["mean_return"],
        "curve": curve(ends),
    }


def train_sb3(task: str, variant: str, seed: int) -> Run:
    import torch
    from stable_baselines3 import PPO
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.evaluation import evaluate_policy
    from stable_baselines3.common.vec_env import VecNormalize

    torch.set_num_threads(1)
    ends: list[tuple[float, float]] = []

    class Ends(BaseCallback):
        def _on_step(self) -> bool:
            for info in self.locals["infos"]:
                if "episode" in info:
                    ends.append((self.num_timesteps, float(info["episode"]["r"])))
            return True

    envs = VecNormalize(make_vec_env(f"{task}-v5", n_envs=8, seed=seed))
    model = PPO(
        "MlpPolicy",
        envs,
        n_steps=256,
        batch_size=64,
        n_epochs=10,
        learning_rate=lambda left: 3e-4 * left,
        target_kl=0.03,
        policy_kwargs={
            "log_std_init": -1.0,
            "net_arch": {"pi": [64, 64], "vf": [64, 64]},
            "activation_fn": torch.nn.Tanh,
        },
        seed=seed,
        device="cpu",
    )
    model.learn(STEPS, callback=Ends())
    envs.training = envs.norm_reward = False
    envs.seed(10_000 + seed)
    played, _ = evaluate_policy(model, envs, EPISODES, deterministic=True)
    return {
        "training": statistics.fmean(r for _, r in ends[-100:]),
        "evaluation": float(played),
        "curve": curve(ends),
    }


def train(trainer: str, task: str, variant: str, seed: int) -> Run:
    """One training and its cost."""
    import torch

    wall, cpu = time.perf_counter(), time.process_time()
    found = (train_ours if trainer == "ours" else train_sb3)(task, variant, seed)
    return {
        "trainer": trainer,
        "task": task,
        "variant": variant,
        "seed": seed,
        **found,
        "wall_s": round(time.perf_counter() - wall),
        "cpu_s": round(time.process_time() - cpu),
        "torch": torch.__version__,
        "machine": platform.machine(),
    }


def spread(values: list[float]) -> str:
    mean = statistics.fmean(values)
    digits = 0 if abs(mean) >= 100 else 1
    deviation = f" +- {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{mean:.{digits}f}{deviation}"


def results_table(runs: list[Run]) -> str:
    """One line per task, the recipe beside Stable-Baselines3 and the published figures."""
    rows = [
        "| task (v5) | published | to reach | ours, last 100 training episodes | ours,"
        " deterministic | seeds | Stable-Baselines3, training | deterministic | seeds |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for task, (published, goal) in TASKS.items():
        cells = []
        for trainer in ("ours", "sb3"):
            mine = [
                r
                for r in runs
                if (r["trainer"], r["task"], r["variant"]) == (trainer, task, "recipe")
            ]
            if not mine:
                cells += ["", "", "0"]
                continue
            cells += [spread([r[k] for r in mine]) for k in ("training", "evaluation")]
            cells.append(str(len(mine)))
        rows.append(f"| {task} | {published} | {goal:g} | {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def search_table(runs: list[Run]) -> str:
    """One line per variant: mean training return and, in brackets, the number of seeds."""
    tasks = [task for task in TASKS if any(run["task"] == task for run in runs)]
    rows = ["| variant | " + " | ".join(tasks) + " |", "| --- |" + " --- |" * len(tasks)]
    # Measured variants stay in the table when a setting of theirs is removed.
    measured = [run["variant"] for run in runs if run["variant"] != "recipe"]
    for variant in dict.fromkeys([*VARIANTS, *measured]):
        cells = []
        for task in tasks:
            found = [r["training"] for r in runs if (r["task"], r["variant"]) == (task, variant)]
            if found:
                mean = statistics.fmean(found)
                cells.append(f"{mean:.{0 if abs(mean) >= 100 else 1}f} ({len(found)})")
            else:
                cells.append("")
        if any(cells):
            rows.append(f"| {variant} | {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def picture(runs: list[Run], path: Path) -> None:
    """Learning curves: mean and range over seeds."""
    import matplotlib

    matplotlib.use("Agg")
    import numpy as np
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(3, 3, figsize=(11, 8.5), layout="constrained")
    steps = (np.arange(POINTS) + 1) * STEPS / POINTS / 1e6
    for axis, (task, (_, goal)) in zip(axes.flat, TASKS.items(), strict=True):
        for trainer, label, color in (
            ("ours", "this project", "C0"),
            ("sb3", "Stable-Baselines3", "C1"),
        ):
            mine = [
                r["curve"]
                for r in runs
                if (r["trainer"], r["task"], r["variant"]) == (trainer, task, "recipe")
            ]
            if not mine:
                continue
            values = np.array(mine, dtype=float)
            known = ~np.isnan(values).all(0)
            mean = np.nanmean(values[:, known], 0)
            axis.plot(steps[known], mean, color=color, label=f"{label} ({len(mine)})")
            low, high = np.nanmin(values[:, known], 0), np.nanmax(values[:, known], 0)
            axis.fill_between(steps[known], low, high, color=color, alpha=0.2, linewidth=0)
        axis.axhline(goal, color="0.5", linestyle=":", linewidth=1)
        axis.set_title(f"{task}-v5", fontsize=10)
        axis.legend(fontsize=7, loc="lower right")
        axis.tick_params(labelsize=8)
    for axis in axes[-1]:
        axis.set_xlabel("million steps", fontsize=9)
    for axis in axes[:, 0]:
        axis.set_ylabel("return of training episodes", fontsize=9)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def write_tables() -> None:
    runs, search = lines_of(RESULTS / "mujoco.jsonl"), lines_of(RESULTS / "mujoco_search.jsonl")
    head = "`python benchmarks/mujoco_tasks.py{}`\n\n"
    (RESULTS / "mujoco.md").write_text(head.format("") + results_table(runs))
    (RESULTS / "mujoco_search.md").write_text(head.format(" --search") + search_table(search))
    picture(runs, RESULTS / "mujoco.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trainer", choices=("ours", "sb3"), default="ours")
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--search", action="store_true", help="variants in place of the recipe")
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--table", action="store_true", help="only make the tables anew")
    args = parser.parse_args()
    path = RESULTS / ("mujoco_search.jsonl" if args.search else "mujoco.jsonl")
    jobs = [
        (args.trainer, task, variant, seed)
        for seed in range(1, args.seeds + 1)
        for variant in (args.variants if args.search else ["recipe"])
        for task in args.tasks
    ]
    if not args.table:
        run_all(train, jobs, ("trainer", "task", "variant", "seed"), path, args.workers)
    write_tables()


if __name__ == "__main__":
    main()
