"""Environment steps per second of training, beside Stable-Baselines3, skrl or a PPO in JAX.

    python benchmarks/speed.py [--peer skrl | jax] [--only NAME ...] [--rounds 5] [--seconds 4]

Both trainers run in this one process on one torch thread, with the same network, batch, epochs
and minibatches, and take turns: in each round both train for some seconds. Reported are medians of
the rounds and of the rounds' ratios, for wall time and for processor time (which other
processes on the machine disturb less). Compilation is not counted and is given on its own; the rows
that end in `_eager` compile nothing.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import peers
import torch

RESULTS = Path(__file__).parent / "results"
NAMES = {"stable_baselines3": "Stable-Baselines3", "skrl": "skrl", "jax": "JAX"}
OTHER_GOALS = {
    "skrl": {"halfcheetah_8": 3},
    "jax": {"cartpole_8": 1.0, "cartpole_64": 1.3, "cartpole_2048": 2.0},
}
FILES = {
    "stable_baselines3": "speed_cpu.json",
    "skrl": "speed_skrl.json",
    "jax": "speed_jax.json",
}


class Workload(NamedTuple):
    """One comparison; the same numbers go to both trainers."""

    env_id: str
    num_envs: int
    num_steps: int
    num_epochs: int
    num_minibatches: int
    goal: int  # times Stable-Baselines3
    backend: str = "torch"  # of ours
    normalize: bool = False  # observations and rewards
    compiles: bool = True  # ours; False: as it runs without a compiler


WORKLOADS = {
    "cartpole_8": Workload("CartPole-v1", 8, 128, 4, 4, 4),
    "cartpole_64": Workload("CartPole-v1", 64, 128, 4, 4, 5),
    "cartpole_2048": Workload("CartPole-v1", 2048, 128, 4, 4, 6),
    "cartpole_8_sync": Workload("CartPole-v1", 8, 128, 4, 4, 4, "sync"),
    "pendulum_8": Workload("Pendulum-v1", 8, 128, 4, 4, 4),
    "pendulum_8_sync": Workload("Pendulum-v1", 8, 128, 4, 4, 4, "sync"),
    "halfcheetah_8": Workload("HalfCheetah-v5", 8, 256, 10, 32, 4, "sync", True),
    "cartpole_8_sync_eager": Workload("CartPole-v1", 8, 128, 4, 4, 2, "sync", compiles=False),
    "pendulum_8_sync_eager": Workload("Pendulum-v1", 8, 128, 4, 4, 2, "sync", compiles=False),
    "halfcheetah_8_eager": Workload("HalfCheetah-v5", 8, 256, 10, 32, 2, "sync", True, False),
}


class Clock(NamedTuple):
    wall: float
    cpu: float

    @classmethod
    def now(cls) -> Clock:
        return cls(time.perf_counter(), time.process_time())

    def per_second(self, steps: int) -> Clock:
        """Steps a second since this moment."""
        now = Clock.now()
        return Clock(steps / (now.wall - self.wall), steps / (now.cpu - self.cpu))


class Contestant(NamedTuple):
    batch: Callable[[], Any]  # trains for one batch
    steps: int  # environment steps of it
    startup: float  # seconds until the second batch

    def measure(self, seconds: float) -> Clock:
        begin, batches = Clock.now(), 0
        while not batches or time.perf_counter() - begin.wall < seconds:
            self.batch()
            batches += 1
        return begin.per_second(batches * self.steps)


def ours(work: Workload) -> Contestant:
    from ppo.algorithm import build
    from ppo.config import Config
    from ppo.core.recording import CHECKS, FEW

    settings = {
        "env.id": work.env_id,
        "env.num_envs": work.num_envs,
        "env.backend": work.backend,
        "env.normalize_observations": str(work.normalize).lower(),
        "env.calibration_steps": 0,
        "train.total_timesteps": 10**8,  # so that all that is recorded is recorded early
        "network.shared_encoder": "false",
        "ppo.num_steps": work.num_steps,
        "ppo.num_epochs": work.num_epochs,
        "ppo.num_minibatches": work.num_minibatches,
        "ppo.learning_rate": 3e-4,
        "ppo.reward_scaling": "return_std" if work.normalize else "none",
        "system.device": "cpu",
        "system.compile": "always" if work.compiles else "never",
    }
    config = Config.from_dict({}, [f"{key}={value}" for key, value in settings.items()])
    begin = time.perf_counter()
    device = build.prepare_torch(config)
    learner = build.build_learner(config, build.build_environments(config, device), device)
    learner.start()
    learner.step()
    learner.step()
    startup = time.perf_counter() - begin
    if not work.compiles:  # until the functions that are called often are recorded
        for _ in range(FEW + CHECKS):
            learner.step()
    return Contestant(learner.step, learner.steps_per_batch, startup)


def compare(work: Workload, peer: str, rounds: int, seconds: float) -> dict[str, Any]:
    """Rounds in which both train in turn."""
    mine, theirs = ours(work), Contestant(*getattr(peers, peer)(work))
    pairs = [(mine.measure(seconds), theirs.measure(seconds)) for _ in range(rounds)]

    def median(pick: Callable[[tuple[Clock, Clock]], float]) -> float:
        return statistics.median(pick(pair) for pair in pairs)

    return {
        **work._asdict(),
        "ours": round(median(lambda pair: pair[0].wall)),
        peer: round(median(lambda pair: pair[1].wall)),
        "ratio": round(median(lambda pair: pair[0].wall / pair[1].wall), 2),
        "ours_cpu": round(median(lambda pair: pair[0].cpu)),
        f"{peer}_cpu": round(median(lambda pair: pair[1].cpu)),
        "ratio_cpu": round(median(lambda pair: pair[0].cpu / pair[1].cpu), 2),
        "startup_seconds": round(mine.startup, 1),
    }


def rollout_alone(num_envs: int, rounds: int, seconds: float) -> dict[str, Any]:
    """The shipped environment with actor and critic (2x64, shared), without learning."""
    from ppo.algorithm import build
    from ppo.config import Config

    settings = [f"env.num_envs={num_envs}", "system.compile=always", "system.device=cpu"]
    config = Config.from_dict({}, [*settings, "env.calibration_steps=0"])
    device = build.prepare_torch(config)
    learner = build.build_learner(config, build.build_environments(config, device), device)
    learner.start()
    learner.collector(0)
    player = Contestant(lambda: learner.collector(1), learner.steps_per_batch, 0.0)
    measured = [player.measure(seconds) for _ in range(rounds)]
    return {
        "env_id": "DoubleIntegrator-v0",
        "num_envs": num_envs,
        "steps_per_second": round(statistics.median(m.wall for m in measured)),
        "steps_per_second_cpu": round(statistics.median(m.cpu for m in measured)),
        "goal": 1_500_000,
    }


def table(results: dict[str, dict[str, Any]], peer: str) -> str:
    head = f"| workload | ours | {NAMES[peer]} | ratio | ratio of processor time | goal | |"
    lines = [head, "| --- | --- | --- | --- | --- | --- | --- |"]
    for name, found in results.items():
        if "ratio" not in found:
            continue
        goal = OTHER_GOALS[peer].get(name) if peer in OTHER_GOALS else found["goal"]
        verdict = "" if goal is None else "reached" if found["ratio"] >= goal else "missed"
        digits = 2 if peer == "jax" else 1  # the two are near each other
        lines.append(
            f"| {name} | {found['ours']:,} | {found[peer]:,} | {found['ratio']:.{digits}f} | "
            f"{found['ratio_cpu']:.{digits}f} | {goal or '-'} | {verdict} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    names = [*WORKLOADS, "rollout_4096"]
    parser.add_argument("--only", nargs="+", choices=names)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each trainer in a round")
    parser.add_argument("--peer", choices=list(NAMES), default="stable_baselines3")
    args = parser.parse_args()
    only = args.only or (list(OTHER_GOALS["jax"]) if args.peer == "jax" else names)
    torch.set_num_threads(1)
    file = RESULTS / FILES[args.peer]
    results = json.loads(file.read_text())["results"] if file.exists() else {}
    for name in only:
        if name == "rollout_4096":
            results[name] = rollout_alone(4096, args.rounds, args.seconds)
        else:
            results[name] = compare(WORKLOADS[name], args.peer, args.rounds, args.seconds)
        print(json.dumps({name: results[name]}), flush=True)
        results = {known: results[known] for known in names if known in results}
        machine = {"torch": torch.__version__, "machine": platform.machine(), "threads": 1}
        RESULTS.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"machine": machine, "results": results}, indent=1) + "\n")
        file.with_suffix(".md").write_text(table(results, args.peer) + "\n")
    print(table(results, args.peer))


if __name__ == "__main__":
    main()
