"""Final return with all rewards multiplied by a factor, beside Stable-Baselines3.

    python benchmarks/reward_scale.py [--seeds 2] [--table-only]

CartPole-v1 and Pendulum-v1 at 10^-6 .. 10^6, catch and a contextual bandit of bsuite's kind at
10^-3 .. 10^3; the same network, batch, learning rate and discount for this trainer,
Stable-Baselines3's PPO, and the same with VecNormalize. Returns are in the environment's own
units. Writes value_reward_scale.{json,md} under benchmarks/results/.
"""

from __future__ import annotations

import argparse
import time
from typing import Any, NamedTuple

import torch
from runs import RESULTS, ResultsFile, mean, say, spread, train

SCALES = (1e-6, 1e-3, 1.0, 1e3, 1e6)
BSUITE_SCALES = (1e-3, 3e-2, 1.0, 3e1, 1e3)
TRAINERS = ("this trainer", "Stable-Baselines3", "Stable-Baselines3 + VecNormalize")
WINDOW = 5  # batches at the end whose episodes count


class Task(NamedTuple):
    batches: int
    num_envs: int
    num_steps: int
    epochs: int
    minibatches: int
    gamma: float
    learning_rate: float = 1e-3
    backend: str = "torch"
    scales: tuple[float, ...] = SCALES


TASKS = {
    "CartPole-v1": Task(25, 16, 64, 10, 4, 0.99),
    "Pendulum-v1": Task(30, 16, 128, 6, 8, 0.9),
    "small_envs:Catch-v0": Task(40, 16, 32, 4, 4, 0.99, 3e-3, "sync", BSUITE_SCALES),
    "small_envs:ContextualBandit-v0": Task(20, 16, 16, 4, 4, 0.99, 3e-3, "sync", BSUITE_SCALES),
}


def ours(env_id: str, task: Task, scale: float, seed: int) -> float:
    """Mean return of the last batches' episodes."""
    records, _ = train(
        [
            f"env.id={env_id}",
            f"env.backend={task.backend}",
            f"env.num_envs={task.num_envs}",
            f"env.reward_scale={scale!r}",
            "network.shared_encoder=false",
            f"ppo.num_steps={task.num_steps}",
            f"ppo.num_epochs={task.epochs}",
            f"ppo.num_minibatches={task.minibatches}",
            f"ppo.gamma={task.gamma}",
            f"ppo.learning_rate={task.learning_rate}",
            f"system.seed={seed}",
        ],
        task.batches,
    )
    return mean(record["mean_episode_return"] for record in records[-WINDOW:])


def stable_baselines(env_id: str, task: Task, scale: float, seed: int, normalize: bool) -> float:
    """The same with Stable-Baselines3; episode returns are taken below the scaling."""
    import gymnasium as gym
    from stable_baselines3 import PPO
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.monitor import Monitor
    from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

    class Returns(BaseCallback):
        """Returns of episodes that end in the last batches."""

        def __init__(self, first_step: int) -> None:
            super().__init__()
            self.first_step, self.found = first_step, list[float]()

        def _on_step(self) -> bool:
            if self.num_timesteps > self.first_step:
                infos: list[dict[str, Any]] = self.locals["infos"]
                self.found += [info["episode"]["r"] for info in infos if "episode" in info]
            return True

    def make() -> Any:
        monitored = Monitor(gym.make(env_id))
        return gym.wrappers.TransformReward(monitored, lambda reward: float(reward) * scale)

    vec: Any = DummyVecEnv([make] * task.num_envs)
    if normalize:
        vec = VecNormalize(vec, norm_obs=True, norm_reward=True, gamma=task.gamma)
    samples = task.num_envs * task.num_steps
    torch.set_num_threads(1)
    model = PPO(
        "MlpPolicy",
        vec,
        n_steps=task.num_steps,
        batch_size=samples // task.minibatches,
        n_epochs=task.epochs,
        gamma=task.gamma,
        learning_rate=task.learning_rate,
        seed=seed,
        device="cpu",
    )
    total = samples * task.batches
    callback = Returns(total - samples * WINDOW)
    model.learn(total, callback=callback)
    return mean(callback.found)


def run_all(results: ResultsFile, seeds: int) -> None:
    for seed in range(1, seeds + 1):
        for env_id, task in TASKS.items():
            for trainer in TRAINERS:
                for scale in task.scales:
                    key = {"env": env_id, "trainer": trainer, "scale": scale, "seed": seed}
                    if results.has(**key):
                        continue
                    started = time.perf_counter()
                    if trainer == TRAINERS[0]:
                        found = ours(env_id, task, scale, seed)
                    else:
                        normalize = trainer == TRAINERS[2]
                        found = stable_baselines(env_id, task, scale, seed, normalize)
                    results.add({**key, "final_return": round(found, 2)})
                    say(f"{key}: {found:.1f}, {time.perf_counter() - started:.0f} s")


def table(results: ResultsFile, scales: tuple[float, ...]) -> str:
    head = "| environment | trainer | " + " | ".join(f"x {scale:g}" for scale in scales) + " |\n"
    rows = [head, "| --- | --- |" + " --- |" * len(scales) + "\n"]
    for env_id in (name for name, task in TASKS.items() if task.scales == scales):
        for trainer in TRAINERS:
            cells = []
            for scale in scales:
                found = [
                    run["final_return"]
                    for run in results.of(env=env_id, trainer=trainer, scale=scale)
                ]
                cells.append(f"{mean(found):,.4g} ± {spread(found):,.2g}" if found else "")
            name = env_id.partition(":")[2] or env_id
            rows.append(f"| {name} | {trainer} | " + " | ".join(cells) + " |\n")
    return "".join(rows)


def write_table(results: ResultsFile) -> None:
    seeds = len({run["seed"] for run in results.runs})
    text = (
        f"# Return at different reward scales, {seeds} seeds\n\n"
        "    python benchmarks/reward_scale.py\n\n"
        f"Mean return of the episodes of the last {WINDOW} batches in the environment's own units, "
        "± standard deviation over seeds.\n"
        "All rewards are multiplied by the factor at the top of the "
        "column. Budgets: 25,600 steps of CartPole, 61,440 of Pendulum, 20,480 of "
        "catch, 5,120 of the bandit.\n\n"
    )
    tables = table(results, SCALES) + "\n" + table(results, BSUITE_SCALES)
    (RESULTS / "value_reward_scale.md").write_text(text + tables)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--table-only", action="store_true")
    arguments = parser.parse_args()
    header = {"tasks": {name: task._asdict() for name, task in TASKS.items()}}
    results = ResultsFile(RESULTS / "value_reward_scale.json", header)
    if not arguments.table_only:
        run_all(results, arguments.seeds)
    write_table(results)


if __name__ == "__main__":
    main()
