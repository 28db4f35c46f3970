"""One configuration for every task: the shipped config.yaml beside settings made for the task.

    python benchmarks/one_config.py [--tasks CartPole-v1 ...] [--columns ours zoo ...] [--seeds 3]
                                    [--workers 1] [--steps 300000]
    python benchmarks/one_config.py --table

Columns, at equal steps:

    ours      config.yaml with env.id and train.total_timesteps, and nothing else
    special   the file of benchmarks/configs/ or configs/ that was made for the task, if any
    default   Stable-Baselines3 as it comes
    zoo       Stable-Baselines3 with the settings that rl-zoo tuned for the task (extra `bench`)

Every run appends a line to benchmarks/results/one_config.jsonl; existing ones are not repeated, so
that an interrupted benchmark goes on. --steps trains for another budget than the task's own and
makes rows of its own. A figure is the mean return of 20 episodes of the mode of the
policy at the end, of seeds that training does not use (400 where start or luck decides the return:
Pendulum, Reacher, FrozenLake); of Atari, that of the last 100 training episodes. The tasks of
UNSEEN have a table of their own (one_config_unseen.md).
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import re
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
from jobs import Run, lines_of, run_all
from one_config_table import table

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
FRAMES = {"repeat_action_probability": 0.0, "img_height": 42, "img_width": 42}


class Task(NamedTuple):
    steps: int
    special: str = ""  # of benchmarks/configs/ or configs/
    published: str = ""  # rl-zoo's benchmark.md, commit 0088472: one run each, steps in brackets
    zoo: str = ""  # the name of its settings in rl-zoo, where that differs
    flat: bool = False  # rl-zoo flattens its observations
    policy: str = "MlpPolicy"  # of Stable-Baselines3 as it comes
    episodes: int = 20  # of the evaluation


def mujoco(published: str = "", episodes: int = 20) -> Task:
    return Task(1_000_000, "mujoco", published, episodes=episodes)


def atari(steps: int) -> Task:
    """A game of frames of 42 x 42; its figure is the mean of the last 100 training episodes."""
    return Task(steps, "", "", "atari")


TAXI = "Taxi-v4" if "Taxi-v4" in gymnasium.registry else "Taxi-v3"
TASKS = {
    "CartPole-v1": Task(100_000, "cartpole", "500 (100 k)"),
    "Acrobot-v1": Task(100_000, "acrobot", "-73.5 (1 M)"),
    "Pendulum-v1": Task(100_000, "pendulum", "-172 (100 k)", episodes=400),
    "MountainCar-v0": Task(200_000, "", "-110 (1 M)"),
    "MountainCarContinuous-v0": Task(100_000, "", "88 (20 k)"),
    "FrozenLake-v1": Task(100_000, episodes=400),
    TAXI: Task(200_000),
    "LunarLander-v3": Task(200_000, "", "242 (1 M)"),
    "LunarLanderContinuous-v3": Task(200_000, "", "271 (1 M)"),
    "BipedalWalker-v3": Task(1_000_000, "", "213 (5 M)"),
    "DoubleIntegrator-v0": Task(600_000),
    "HalfCheetah-v5": mujoco("5,819 (1 M)"),
    "Hopper-v5": mujoco("2,410 (1 M)"),
    "Walker2d-v5": mujoco("3,479 (1 M)"),
    "Ant-v5": mujoco("1,327 (1 M)"),
    "Humanoid-v5": mujoco(),
    "Swimmer-v5": mujoco("282 (1 M)"),
    "Reacher-v5": mujoco(episodes=400),
    "InvertedPendulum-v5": mujoco(),
    "InvertedDoublePendulum-v5": mujoco(),
    "minigrid:MiniGrid-Empty-8x8-v0": Task(100_000, "", "", "MiniGrid-Empty-Random-5x5-v0", True),
    "minigrid:MiniGrid-DoorKey-5x5-v0": Task(100_000, "", "", "MiniGrid-DoorKey-5x5-v0", True),
    "dict_pendulum:DictPendulum-v0": Task(100_000, policy="MultiInputPolicy"),
    "ALE/CrazyClimber-v5": atari(300_000),
    "ALE/Pong-v5": atari(1_000_000),
}
# Named before anything was run on them, after all rules of the automatic choice were made.
UNSEEN = {
    "CliffWalking-v1": Task(100_000),
    "Blackjack-v1": Task(100_000, episodes=2000),
    "minigrid:MiniGrid-Unlock-v0": Task(100_000, zoo="MiniGrid-Unlock-v0", flat=True),
    "minigrid:MiniGrid-LavaGapS5-v0": Task(100_000, flat=True),
    "minigrid:MiniGrid-FourRooms-v0": Task(200_000, zoo="MiniGrid-FourRooms-v0", flat=True),
    "Pusher-v5": Task(200_000, episodes=50),
    "HumanoidStandup-v5": Task(200_000),
}
EVERY = TASKS | UNSEEN
# Stable-Baselines3 takes no Tuple (Blackjack); an episode of CliffWalking ends at the goal alone,
# which a poor policy's mode never reaches.
OURS_ALONE = ("DoubleIntegrator-v0", "Blackjack-v1", "CliffWalking-v1")


# ---- ours


def train_ours(task: str, seed: int, steps: int, config: Path | None) -> Run:
    import torch

    from ppo import Config, Trainer
    from ppo.policies.evaluate import evaluate
    from ppo.policies.policy import load_policy

    torch.set_num_threads(1)
    sets = [f"env.id={task}", f"system.seed={seed}", f"train.total_timesteps={steps}"]
    sets += ["logging.tensorboard=false", "evaluation.interval=0"]
    game = EVERY[task].zoo == "atari"
    if game:
        sets += [f"env.kwargs={json.dumps(FRAMES)}", "evaluation.env=off"]
    with tempfile.TemporaryDirectory() as folder:
        with Trainer(Config.load(config, sets), folder) as trainer:
            summary, chosen = trainer.train(), trainer.choices
        place, shown, success = Path(folder), summary["final_return"], None
        if not game:
            episodes = EVERY[task].episodes
            policy = load_policy(place / "run0001", which="latest")
            played = evaluate(policy, episodes=episodes, seed=10_000 + seed)
            shown, success = played["mean_return"], played["success_rate"]
    return {
        "training": summary["final_return"],
        "evaluation": shown,
        "success": success,
        "verdict": summary["verdict"],
        "findings": summary["findings"],
        "chosen": chosen,
    }


# ---- Stable-Baselines3


def tuned(task: str) -> dict[str, Any] | None:
    """rl-zoo's settings for a task, of this or the nearest earlier version of it; None: it has
    none."""
    import yaml

    found = importlib.util.find_spec("rl_zoo3")  # not imported: that would import sb3_contrib
    if found is None or not found.submodule_search_locations:
        raise SystemExit('rl_zoo3 is missing: pip install -e ".[bench]"')
    path = Path(found.submodule_search_locations[0]) / "hyperparams" / "ppo.yml"
    every = yaml.safe_load(path.read_text())
    if alias := EVERY[task].zoo:
        return dict(every[alias])
    name, _, version = task.rpartition("-v")
    for number in range(int(version), -1, -1):
        if f"{name}-v{number}" in every:
            return dict(every[f"{name}-v{number}"])
    return None


def scheduled(value: Any) -> Any:
    """`lin_0.001` of rl-zoo: a value that falls to 0 at the end."""
    if not isinstance(value, str):
        return value
    start = float(value.removeprefix("lin_"))
    return (lambda left: start * left) if value.startswith("lin_") else start


def train_sb3(task: str, seed: int, steps: int, settings: dict[str, Any]) -> Run:
    import torch
    from stable_baselines3 import PPO
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.evaluation import evaluate_policy
    from stable_baselines3.common.vec_env import VecNormalize

    torch.set_num_threads(1)
    settings = dict(settings)
    for name in ("n_timesteps", "env_wrapper"):  # the wrapper is the one of `flat`
        settings.pop(name, None)
    normalize, count = settings.pop("normalize", False), settings.pop("n_envs", 1)
    if isinstance(arguments := settings.get("policy_kwargs"), str):
        settings["policy_kwargs"] = eval(arguments, {"nn": torch.nn, "dict": dict})
    for name in ("learning_rate", "clip_range"):
        if name in settings:
            settings[name] = scheduled(settings[name])
    ends: list[float] = []

    class Ends(BaseCallback):
        def _on_step(self) -> bool:
            infos = self.locals["infos"]
            ends.extend(float(info["episode"]["r"]) for info in infos if "episode" in info)
            return True

    def make(seed: int) -> Any:
        wrapper = None
        if EVERY[task].flat:
            from minigrid.wrappers import FlatObsWrapper as wrapper
        return make_vec_env(task, n_envs=count, seed=seed, wrapper_class=wrapper)

    envs = make(seed)
    if normalize:
        gamma = {"gamma": settings["gamma"]} if "gamma" in settings else {}
        envs = VecNormalize(envs, **gamma)
    policy = settings.pop("policy", EVERY[task].policy)
    model = PPO(policy, envs, seed=seed, device="cpu", **settings)
    model.learn(steps, callback=Ends())
    if normalize:
        envs.training = envs.norm_reward = False
    envs.seed(10_000 + seed)
    played, _ = evaluate_policy(model, envs, EVERY[task].episodes, deterministic=True)
    return {"training": statistics.fmean(ends[-100:]), "evaluation": float(played)}


def play_atari(task: str, seed: int, steps: int) -> Run:
    """rl-zoo's settings for Atari, which are those of benchmarks/configs/pong.yaml."""
    import torch
    from atari import config_for, run_sb3

    torch.set_num_threads(1)
    game = task.removeprefix("ALE/").removesuffix("-v5")
    curve = run_sb3(config_for(game, steps, FRAMES["img_height"], seed))["curve"]
    mean = [point["mean_return"] for point in curve if point["mean_return"] is not None][-1]
    return {"training": mean, "evaluation": mean}


def of_zoo(task: str, seed: int, steps: int) -> Run:
    if EVERY[task].zoo == "atari":
        return play_atari(task, seed, steps)
    settings = tuned(task)
    assert settings is not None, f"rl-zoo has no settings for {task}"
    return train_sb3(task, seed, steps, settings)


def special(name: str) -> Path:
    places = (folder / "configs" / f"{name}.yaml" for folder in (ROOT / "benchmarks", ROOT))
    return next(place for place in places if place.exists())


COLUMNS: dict[str, Callable[[str, int, int], Run]] = {
    "ours": lambda task, seed, steps: train_ours(task, seed, steps, None),
    "special": lambda task, seed, steps: train_ours(
        task, seed, steps, special(EVERY[task].special)
    ),
    "default": lambda task, seed, steps: train_sb3(task, seed, steps, {}),
    "zoo": of_zoo,
}


def exists(column: str, task: str) -> bool:
    """Whether there are settings of this kind for this task."""
    if column == "special":
        return bool(EVERY[task].special)
    if task in OURS_ALONE or (EVERY[task].zoo == "atari" and column == "default"):
        return column == "ours"
    return column != "zoo" or tuned(task) is not None


def train(column: str, task: str, seed: int, steps: int) -> Run:
    warnings.filterwarnings("ignore")
    wall, cpu = time.perf_counter(), time.process_time()
    found = COLUMNS[column](task, seed, steps)
    return {
        "column": column,
        "task": task,
        "seed": seed,
        "steps": steps,
        **found,
        "wall_s": round(time.perf_counter() - wall),
        "cpu_s": round(time.process_time() - cpu),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=re.split(r"\n\n", __doc__ or "")[0])
    parser.add_argument("--tasks", nargs="+", choices=list(EVERY), default=list(TASKS))
    parser.add_argument("--columns", nargs="+", choices=list(COLUMNS), default=list(COLUMNS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--steps", type=int, help="in place of each task's own budget")
    parser.add_argument("--table", action="store_true", help="from the records that are there")
    args = parser.parse_args()
    path = RESULTS / "one_config.jsonl"
    jobs = [
        (column, task, seed, args.steps or EVERY[task].steps)
        for seed in range(1, args.seeds + 1)
        for task in args.tasks
        for column in args.columns
        if not args.table and exists(column, task)
    ]
    run_all(train, jobs, ("column", "task", "seed", "steps"), path, args.workers)
    for name, tasks in (("one_config", TASKS), ("one_config_unseen", UNSEEN)):
        published = {id_: task.published for id_, task in tasks.items()}
        text = table(lines_of(path), published, list(COLUMNS))
        (RESULTS / f"{name}.md").write_text(text)


if __name__ == "__main__":
    main()
