"""What worker processes gain and cost: rollouts with them and in one process, in turn.

    python benchmarks/workers.py [--workers 2] [--rounds 12] [--only Pendulum-v1]

Three rows: 8 environments whose step computes for 1 ms; 8 whose step waits for 1 ms, as one does
that asks a simulator elsewhere; 8 Pendulums, whose step takes 0.02 ms. The first two are shared as
`env.backend: auto` does, by this process and workers; Pendulum, which it leaves in this process, by
workers alone (`async`). Given are milliseconds of a
step of all 8, the policy's share included, medians of the rounds and of the rounds' ratios; and the
processor time of such a step in this process and in a worker, the least of the rounds. On a machine
that has other things to do the first row shows less than a quiet one would.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from pathlib import Path
from typing import Any

import gymnasium as gym
import torch
from gymnasium.envs.classic_control import PendulumEnv

STEP = 1e-3  # seconds
STEPS = 64  # of a rollout
WARM_UP = 17  # rollouts, after which the policy step is recorded


class Computes(PendulumEnv):
    def step(self, action: Any) -> Any:
        end = time.perf_counter() + STEP
        while time.perf_counter() < end:
            pass
        return super().step(action)


class Waits(PendulumEnv):
    def step(self, action: Any) -> Any:
        time.sleep(STEP)
        return super().step(action)


for kind in (Computes, Waits):
    if f"{kind.__name__}-v0" not in gym.registry:  # this file is imported under its name too
        entry = f"workers:{kind.__name__}"
        gym.register(f"{kind.__name__}-v0", entry_point=entry, max_episode_steps=200)
ENVS = ("workers:Computes-v0", "workers:Waits-v0", "Pendulum-v1")


def collector(env_id: str, backend: str, workers: int) -> Any:
    """Plays the policy in 8 environments."""
    from ppo.algorithm import build
    from ppo.config import Config

    settings = {
        "env.id": env_id,
        "env.num_envs": 8,
        "env.backend": backend,
        "env.workers": workers,
        "env.calibration_steps": 0,
        "ppo.num_steps": STEPS,
        "ppo.num_minibatches": 4,
        "system.device": "cpu",
        "system.compile": "never",
    }
    config = Config.from_dict({}, [f"{key}={value}" for key, value in settings.items()])
    device = build.prepare_torch(config)
    learner = build.build_learner(config, build.build_environments(config, device), device)
    learner.start()
    for number in range(WARM_UP):
        learner.collector(number)
    return learner.collector


def processor_seconds(process: int) -> float:
    """That a process has used; 0 where the system does not count them finely."""
    file = Path(f"/proc/{process}/schedstat")
    return int(file.read_text().split()[0]) / 1e9 if file.exists() else 0.0


def compare(env_id: str, workers: int, rounds: int) -> str:
    """One row of the table."""
    several = "async" if env_id == ENVS[-1] else "auto"
    alone, shared = collector(env_id, "sync", 0), collector(env_id, several, workers)
    assert shared.envs.backend == "async", "a step is too short to be shared"
    processes = [worker.process.pid for worker in shared.envs._workers]
    walls, spent = [], []
    for number in range(rounds):
        pair = []
        for player in (alone, shared):
            wall, own = time.perf_counter(), time.process_time()
            theirs = sum(map(processor_seconds, processes))
            player(number)
            pair.append(1000 * (time.perf_counter() - wall) / STEPS)
            own = time.process_time() - own
            theirs = (sum(map(processor_seconds, processes)) - theirs) / len(processes)
        walls.append(pair)
        spent.append((1e6 * own / STEPS, 1e6 * theirs / STEPS))
    alone.envs.close()
    shared.envs.close()
    one, several = (statistics.median(column) for column in zip(*walls, strict=True))
    ratio = statistics.median(a / b for a, b in walls)
    own, theirs = (min(column) for column in zip(*spent, strict=True))
    return f"| {env_id} | {one:.2f} | {several:.2f} | {ratio:.2f} | {own:.0f} | {theirs:.0f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--workers", type=int, default=2, help="processes that step")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--only", nargs="+", choices=ENVS, default=ENVS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    print("| environment | ms, one process | ms, several | ratio | us here | us in a worker |")
    print("| --- | --- | --- | --- | --- | --- |")
    for env_id in args.only:
        print(compare(env_id, args.workers, args.rounds), flush=True)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    print(f"\n{args.workers} processes, {os.cpu_count()} cores, load {load:.1f}")


if __name__ == "__main__":
    main()
