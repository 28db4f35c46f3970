"""Whole commands, from the shell's point of view: what a person waits for.

    python benchmarks/commands.py first [--env HalfCheetah-v5]     # a single batch, ten batches
    python benchmarks/commands.py total                            # CartPole, 100,000 steps
    python benchmarks/commands.py auto [--env CartPole-v1] [--steps 20000 100000 500000]

`first`: eager, compiled with an empty and with a full cache. The third of ten batches is the first
that graphs compute, so that these commands wait for all that is compiled. `total`: this trainer
beside Stable-Baselines3, both with the settings that rl-zoo has for CartPole-v1. `auto`: a training
by `system.compile` never, always (empty cache) and auto (empty cache), and how much longer auto
takes than the better of the two; CartPole is Gymnasium's (`env.backend: sync`). Each is one process
with one torch thread, the import of torch included. Given are seconds of processor time, that of
processes which it started included, which other programs disturb least, and seconds by the clock;
the least of the repeats.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
ZOO = {  # rl-zoo's CartPole-v1, commit 0088472
    "env.num_envs": 8,
    "env.normalize_observations": "false",
    "network.shared_encoder": "false",
    "network.layer_norm": "false",
    "ppo.num_steps": 32,
    "ppo.num_epochs": 20,
    "ppo.num_minibatches": 1,
    "ppo.learning_rate": 1e-3,
    "ppo.learning_rate_schedule": "linear",
    "ppo.gamma": 0.98,
    "ppo.gae_lambda": 0.8,
    "ppo.entropy_coefficient": 0.0,
    "ppo.target_kl": "null",
}
PEER = """
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
linear = lambda value: lambda left: left * value
model = PPO("MlpPolicy", make_vec_env("CartPole-v1", 8), n_steps=32, batch_size=256, n_epochs=20,
            gamma=0.98, gae_lambda=0.8, ent_coef=0.0, learning_rate=linear(1e-3),
            clip_range=linear(0.2), device="cpu")
model.learn({steps})
model.save({file!r})
"""


class Spent(NamedTuple):
    """Seconds of a process and of the processes that it waited for."""

    cpu: float
    wall: float

    def __str__(self) -> str:
        return f"{self.cpu:.1f} s ({self.wall:.1f} s)"


def spent(command: list[str], cache: str) -> Spent:
    """Runs a command to its end; all that torch keeps of compiled code is in the cache."""
    os.makedirs(f"{cache}/headers", exist_ok=True)
    environment = {
        **os.environ,
        "TMPDIR": f"{cache}/headers",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
        "TORCHINDUCTOR_CACHE_DIR": cache,
    }
    begin = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"exit status {process.returncode}: {' '.join(command)}")
    return Spent(usage.ru_utime + usage.ru_stime, time.perf_counter() - begin)


def ours(mode: str, folder: str, settings: dict[str, object]) -> list[str]:
    """The command line of a run with the shipped configuration and these settings."""
    sets = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    return [sys.executable, "-m", "ppo", "--mode", mode, "--results", f"{folder}/runs", *sets]


def least(repeats: int, command: list[str], cache: str | None = None) -> Spent:
    """The least of some runs; each has an empty cache unless one is given."""
    found = []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as empty:
            found.append(spent(command, cache or empty))
    return min(found)


def first(folder: str, env: str, repeats: int) -> None:
    """Rows of a single batch and of ten."""
    print("| command | processor time (clock) |\n| --- | --- |")
    settings: dict[str, object] = {"env.id": env, "system.device": "cpu", "env.num_envs": 8}
    settings["network.hidden_sizes"] = "[64, 64]"
    settings |= {"ppo.num_steps": 256, "evaluation.env": "off"}
    ten = {"train.total_timesteps": 10 * 8 * 256, "logging.tensorboard": "false"}
    commands = {
        "a single batch": ours("single_batch", folder, settings),
        "ten batches": [*ours("train", folder, settings | ten), "--quiet"],
    }
    for what, command in commands.items():
        cache = f"{folder}/{what.replace(' ', '_')}"  # torch compiles in no folder with a blank
        eager, always = (
            [*command, "--set", f"system.compile={how}"] for how in ("never", "always")
        )
        print(f"| {what}, {env}, eager | {least(repeats, eager)} |", flush=True)
        print(f"| {what}, compiled, empty cache | {least(1, always, cache)} |", flush=True)
        print(f"| {what}, compiled, full cache | {least(repeats, always, cache)} |", flush=True)


def total(folder: str, steps: int, repeats: int) -> None:
    """Rows of CartPole beside Stable-Baselines3."""
    settings = {**ZOO, "env.id": "CartPole-v1", "train.total_timesteps": steps}
    settings |= {"system.device": "cpu", "evaluation.interval": 0, "evaluation.episodes": 1}
    mine = least(repeats, ours("train", folder, settings))
    peer = PEER.format(steps=steps, file=f"{folder}/model")
    theirs = least(repeats, [sys.executable, "-c", peer])
    print(f"| CartPole, {steps:,} steps | processor time (clock) |\n| --- | --- |")
    print(f"| ours | {mine} |\n| Stable-Baselines3 | {theirs} |")
    print(f"| times as fast | {theirs.cpu / mine.cpu:.1f} ({theirs.wall / mine.wall:.1f}) |")


def auto(folder: str, env: str, all_steps: list[int], repeats: int) -> None:
    """Rows of `system.compile`."""
    print(f"| {env}, steps | never | always | auto | auto beside the better |")
    print("| --- | --- | --- | --- | --- |")
    for steps in all_steps:
        settings = {**ZOO, "env.id": env, "train.total_timesteps": steps, "system.device": "cpu"}
        settings |= {"evaluation.env": "off", "logging.tensorboard": "false"}
        if env == "CartPole-v1":
            settings["env.backend"] = "sync"
        times = {
            kind: least(repeats, ours("train", folder, {**settings, "system.compile": kind}))
            for kind in ("never", "always", "auto")
        }
        more = times["auto"].cpu / min(times["never"].cpu, times["always"].cpu) - 1
        cells = " | ".join(map(str, times.values()))
        print(f"| {steps:,} | {cells} | {100 * more:+.0f} % |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=["first", "total", "auto"])
    parser.add_argument("--env", help="default: HalfCheetah-v5; of auto CartPole-v1")
    parser.add_argument("--steps", type=int, nargs="+")
    parser.add_argument("--repeats", type=int, default=1)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if args.what == "first":
            first(folder, args.env or "HalfCheetah-v5", args.repeats)
        elif args.what == "total":
            total(folder, (args.steps or [100_000])[0], args.repeats)
        else:
            steps = args.steps or [20_000, 100_000, 500_000]
            auto(folder, args.env or "CartPole-v1", steps, args.repeats)


if __name__ == "__main__":
    main()
