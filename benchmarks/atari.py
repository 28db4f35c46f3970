"""Learning curve and steps per second on a game of Atari, beside Stable-Baselines3.

    python benchmarks/atari.py [--which ppo sb3] [--steps 1000000] [--size 84] [--game Pong]

Both step the same vectorized environment of ale-py with the settings of
benchmarks/configs/pong.yaml, and train the same network (Mnih et al. 2015); --size 42 makes frames
of 42 x 42, which cost a ninth as much. An interrupted run of this trainer continues from its last
checkpoint; a run that is in benchmarks/results/atari.json is not repeated. That file holds the
curves; atari.md is the table and atari.png the picture, made anew each time.
Needs the extras atari and, for sb3, bench.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ppo import Callback, Config, Trainer

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
POINTS = 100  # of a curve
LONG = 100_000  # steps from which a curve is drawn


def config_for(game: str, steps: int, size: int, seed: int) -> Config:
    """The committed configuration for this game, budget and size of frames."""
    kwargs = {"repeat_action_probability": 0.0, "img_height": size, "img_width": size}
    return Config.load(
        ROOT / "benchmarks" / "configs" / "pong.yaml",
        overrides=[
            f"env.id=ALE/{game}-v5",
            f"env.kwargs={json.dumps(kwargs)}",
            f"train.total_timesteps={steps}",
            f"system.seed={seed}",
            "train.checkpoint_interval=100",  # batches: 102,400 steps
            "evaluation.interval=0",
            "logging.tensorboard=false",
        ],
    )


def thinned(curve: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """At most POINTS points of a curve, the last of each interval."""
    size = -(-len(curve) // POINTS)
    return curve[size - 1 :: size] if size > 1 else curve


class Curve(Callback):
    """The learning curve of this trainer, with the time it took."""

    def __init__(self) -> None:
        self.points: list[dict[str, Any]] = []
        self.begun = time.process_time()

    def on_batch(self, trainer: Trainer, record: dict[str, Any]) -> None:
        recent = trainer.recent
        point = {
            "env_steps": record["env_steps"],
            "mean_return": round(float(np.mean(recent)), 3) if recent else None,
            "wall_time_s": round(record["wall_time_s"], 1),
            "cpu_s": round(time.process_time() - self.begun, 1),
        }
        self.points.append(point)
        if record["batch"] % 20 == 0:
            print(json.dumps({**point, "episodes": record["episodes"]}), flush=True)


def run_ppo(config: Config, folder: Path) -> dict[str, Any]:
    """This trainer, from its last checkpoint where there is one."""
    resume = "latest" if any(folder.glob("run*/checkpoints/*")) else None
    curve = Curve()
    trainer = Trainer(config, folder, callbacks=[curve], resume=resume)
    trainer.train()
    parameters = sum(p.numel() for p in trainer.learner.objective.parameters())
    last = trainer.evaluations[-1]
    return {
        "curve": curve.points,
        "parameters": parameters,
        "resumed": resume is not None,
        "evaluated_return": last["mean_return"],
        "evaluated_episodes": last["episodes"],
    }


def run_sb3(config: Config) -> dict[str, Any]:
    """Stable-Baselines3's PPO with the same settings on the same environments."""
    import gymnasium as gym
    from stable_baselines3 import PPO
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.vec_env import VecEnv, VecMonitor

    from ppo.envs.ids import find_spec

    spec = find_spec(config.env.id)
    made = gym.make_vec(
        spec, config.env.num_envs, vectorization_mode="vector_entry_point",
        autoreset_mode="SameStep", **config.env.kwargs,
    )  # fmt: skip

    class Games(VecEnv):
        """ale-py's vectorized form with Stable-Baselines3's interface."""

        def __init__(self) -> None:
            super().__init__(
                config.env.num_envs, made.single_observation_space, made.single_action_space
            )

        def reset(self) -> np.ndarray:
            return made.reset(seed=config.system.seed)[0].copy()

        def step_async(self, actions: np.ndarray) -> None:
            self.taken = actions

        def step_wait(self) -> Any:
            obs, rewards, terminated, truncated, infos = made.step(self.taken)
            told: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
            for i in np.flatnonzero(terminated | truncated):
                told[i] = {
                    "terminal_observation": infos["final_obs"][i].copy(),
                    "TimeLimit.truncated": bool(truncated[i] and not terminated[i]),
                }
            return obs.copy(), rewards.astype(np.float32), terminated | truncated, told

        def close(self) -> None:
            made.close()

        def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
            return [False] * self.num_envs

        def env_method(self, *_: Any, **__: Any) -> Any:
            raise NotImplementedError("one environment alone cannot be called")

        def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
            return [getattr(made, attr_name, None)] * self.num_envs

        def set_attr(self, *_: Any, **__: Any) -> None:
            raise NotImplementedError("one environment alone cannot be changed")

    curve: list[dict[str, Any]] = []
    started, begun = time.perf_counter(), time.process_time()

    class Keep(BaseCallback):
        """One point for each rollout."""

        def _on_step(self) -> bool:
            return True

        def _on_rollout_end(self) -> None:
            returns = [episode["r"] for episode in self.model.ep_info_buffer or []]
            curve.append(
                {
                    "env_steps": self.num_timesteps,
                    "mean_return": round(float(np.mean(returns)), 3) if returns else None,
                    "wall_time_s": round(time.perf_counter() - started, 1),
                    "cpu_s": round(time.process_time() - begun, 1),
                }
            )
            if len(curve) % 20 == 1:
                print(json.dumps(curve[-1]), flush=True)

    ppo = config.ppo
    samples = config.env.num_envs * ppo.num_steps
    model = PPO(
        "CnnPolicy", VecMonitor(Games()), learning_rate=lambda left: ppo.learning_rate * left,
        n_steps=ppo.num_steps, batch_size=samples // ppo.num_minibatches, n_epochs=ppo.num_epochs,
        gamma=ppo.gamma, gae_lambda=ppo.gae_lambda, clip_range=lambda left: ppo.clip_epsilon * left,
        ent_coef=ppo.entropy_coefficient, vf_coef=0.5, max_grad_norm=ppo.max_grad_norm,
        seed=config.system.seed, device="cpu", stats_window_size=100,
    )  # fmt: skip
    model.learn(config.train.total_timesteps, callback=Keep())
    return {"curve": curve, "parameters": sum(p.numel() for p in model.policy.parameters())}


def table(runs: list[dict[str, Any]]) -> str:
    lines = [
        "`python benchmarks/atari.py`, commands with their options in atari.json",
        "",
        "| game | frames | trainer | seed | steps | mean return, last 100 training episodes | "
        "best such mean | steps per second | CPU seconds | load at the start | parameters |",
        "|" + " --- |" * 11,
    ]
    for run in runs:
        means = [p["mean_return"] for p in run["curve"] if p["mean_return"] is not None]
        final, best = (f"{means[-1]:.2f}", f"{max(means):.2f}") if means else ("none ended", "-")
        lines.append(
            f"| {run['game']} | {run['size']} x {run['size']} | {run['which']} | {run['seed']} | "
            f"{run['curve'][-1]['env_steps']:,} | {final} | {best} | "
            f"{run['steps_per_second']:,.0f} | {run['cpu_seconds']:,.0f} | "
            f"{run['load_at_start']:.1f} | "
            f"{run['parameters']:,} |"
        )
    return "\n".join(lines) + "\n"


def picture(runs: list[dict[str, Any]], path: Path) -> None:
    """Learning curves of the runs that are long enough to learn, a panel for each game."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    long = [run for run in runs if run["steps"] >= LONG]
    games = list(dict.fromkeys(run["game"] for run in long))
    figure, axes = pyplot.subplots(
        1, len(games), figsize=(4.5 * len(games), 3.4), layout="constrained", squeeze=False
    )
    names = {"ppo": ("this project", "C0"), "sb3": ("Stable-Baselines3", "C1")}
    for axis, game in zip(axes[0], games, strict=True):
        for run in long:
            if run["game"] == game:
                points = [p for p in run["curve"] if p["mean_return"] is not None]
                label, color = names[run["which"]]
                steps = [p["env_steps"] / 1e3 for p in points]
                axis.plot(steps, [p["mean_return"] for p in points], color=color, label=label)
        axis.set_title(f"ALE/{game}-v5", fontsize=10)
        axis.set_xlabel("thousand steps", fontsize=9)
        axis.legend(fontsize=8)
        axis.tick_params(labelsize=8)
    axes[0][0].set_ylabel("return of training episodes, rewards clipped", fontsize=9)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--which", nargs="+", default=["ppo", "sb3"], choices=["ppo", "sb3"])
    parser.add_argument("--game", default="Pong")
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--size", type=int, default=84)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(1)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / "atari.json"
    runs = json.loads(path.read_text())["runs"] if path.exists() else []
    for which in args.which:
        key = {"which": which, "game": args.game, "size": args.size, "seed": args.seed,
               "steps": args.steps}  # fmt: skip
        if any(all(run[k] == v for k, v in key.items()) for run in runs):
            continue
        config = config_for(args.game, args.steps, args.size, args.seed)
        folder = ROOT / "training_results" / "atari" / "_".join(map(str, key.values()))
        load = os.getloadavg()[0]
        found = run_ppo(config, folder) if which == "ppo" else run_sb3(config)
        curve = found.pop("curve")
        speed = curve[-1]["env_steps"] / curve[-1]["wall_time_s"]
        runs.append(
            {
                **key,
                "steps_per_second": round(speed, 1),
                "cpu_seconds": curve[-1]["cpu_s"],  # of a run that was resumed: of its last part
                "load_at_start": round(load, 2),
                "machine": f"{platform.machine()}, {os.cpu_count()} cores, 1 torch thread",
                "torch": torch.__version__,
                **found,
                "curve": thinned(curve),
            }
        )
        path.write_text(json.dumps({"runs": runs}) + "\n")
        if folder.exists():
            shutil.rmtree(folder)
    (RESULTS / "atari.md").write_text(table(runs))
    picture(runs, RESULTS / "atari.png")
    print(table(runs), flush=True)


if __name__ == "__main__":
    main()
