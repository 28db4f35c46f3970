"""One page on a GPU: the tests of the device, and training steps a second beside other trainers.

    python benchmarks/gpu.py [--seconds 2] [--only eager graphs peers tests]

Rows: torch environments of ours, 4,096 and 16,384 at once, 32 steps (30 of
DoubleIntegrator-v0), 4 epochs, 4 minibatches, actor and critic of their own; eager and compiled
("graphs"), both captured as CUDA graphs; the encoders in float32 and in bfloat16, layers of 64 and
of 512. Beside them, where they are installed, with the same batch on the same GPU: Stable-Baselines3 and skrl, which step Gymnasium's
CartPole one by one on the host, as they come, and a plain PPO in JAX (gymnax). A batch counts from
its first step to its last gradient step. Every row is built in a process of its own, all at once,
and timed while no other is. Peak memory is what torch has allocated; launches are those of kernels
in one batch, as torch's profiler counts them. Results: benchmarks/results/gpu.json and gpu.md.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import statistics
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NamedTuple

import torch

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
EPOCHS, MINIBATCHES = 4, 4
STEPS = {"CartPole-v1": 32, "DoubleIntegrator-v0": 30}  # the latter: whole episodes
PEER_ENVS = 4096
PEERS = ("stable_baselines3", "skrl", "jax x4096", "jax x16384")
ROUNDS = 3
DEVICE = torch.device("cuda")
TRAINERS = {
    "stable_baselines3": "Stable-Baselines3",
    "skrl": "skrl",
    "jax": "plain PPO in JAX (`jax_ppo.py`)",
}
Found = dict[str, Any]


class Row(NamedTuple):
    env_id: str
    num_envs: int
    compiles: bool
    precision: str = "float32"
    width: int = 64

    @property
    def name(self) -> str:
        how = "graphs" if self.compiles else "eager"
        return f"{self.env_id} x{self.num_envs} {self.width} {how} {self.precision}"


ROWS = [
    *(Row("CartPole-v1", 4096, compiles) for compiles in (False, True)),
    *(Row("DoubleIntegrator-v0", 4096, compiles) for compiles in (False, True)),
    *(
        Row("DoubleIntegrator-v0", 16384, True, precision, width)
        for width in (64, 512)
        for precision in ("float32", "bfloat16")
    ),
]


def learner(row: Row, device: torch.device) -> Any:
    from ppo.algorithm import build
    from ppo.config import Config

    settings = {
        "env.id": row.env_id,
        "env.backend": "torch",
        "env.num_envs": row.num_envs,
        "env.calibration_steps": 0,
        "network.hidden_sizes": [row.width, row.width],
        "network.shared_encoder": "false",
        "ppo.num_steps": STEPS[row.env_id],
        "ppo.num_epochs": EPOCHS,
        "ppo.num_minibatches": MINIBATCHES,
        "system.device": device.type,
        "system.precision": row.precision,
        "system.compile": "always" if row.compiles else "never",
    }
    config = Config.from_dict({}, [f"{key}={value}" for key, value in settings.items()])
    build.prepare_torch(config)
    made = build.build_learner(config, build.build_environments(config, device), device)
    made.start()
    return made


def per_second(batch: Callable[[], Any], steps: int, seconds: float) -> int:
    """Environment steps a second, the median of ROUNDS."""
    found = []
    for _ in range(ROUNDS):
        torch.cuda.synchronize()
        begin, count = time.perf_counter(), 0
        while not count or time.perf_counter() - begin < seconds:
            batch()
            count += 1
        torch.cuda.synchronize()
        found.append(count * steps / (time.perf_counter() - begin))
    return round(statistics.median(found))


def ours(row: Row, seconds: float, alone: Any) -> Found:
    begin = time.perf_counter()
    run = learner(row, DEVICE)
    for _ in range(3):  # graphs are compiled, then recorded
        run.step()
    startup = time.perf_counter() - begin
    with alone:
        speed = per_second(run.step, run.steps_per_batch, seconds)
        before = dict(run.timing)
        run.step()
        parts = {name: round(1e3 * (run.timing[name] - before[name]), 1) for name in before}
        kernels = launches(run.step)
    return {
        "trainer": "ours",
        **row._asdict(),
        "steps_per_second": speed,
        "startup_seconds": round(startup, 1),
        "milliseconds": parts,
        "peak_mib": round(torch.cuda.max_memory_allocated() / 2**20),
        "kernels_per_batch": kernels,
    }


def launches(batch: Callable[[], Any]) -> int:
    """How many kernels, copies included, run on the device in one batch."""
    activity = torch.profiler.ProfilerActivity
    with torch.profiler.profile(activities=[activity.CPU, activity.CUDA]) as profile:
        batch()
        torch.cuda.synchronize()
    on_device = torch.autograd.DeviceType.CUDA
    return sum(event.device_type == on_device for event in profile.events())


def peer(name: str, seconds: float, alone: Any) -> Found:
    import peers
    from speed import Workload

    work = Workload("CartPole-v1", PEER_ENVS, STEPS["CartPole-v1"], EPOCHS, MINIBATCHES, 0)
    made = getattr(peers, name)(work, DEVICE.type)
    with alone:
        speed = per_second(made.batch, made.steps, seconds)
    return {
        "trainer": name,
        "env_id": work.env_id,
        "num_envs": work.num_envs,
        "steps_per_second": speed,
        "startup_seconds": round(made.startup, 1),
    }


def plain_jax(name: str, seconds: float, alone: Any) -> Found:
    """benchmarks/jax_ppo.py, whose whole training is one jit, in a process of its own."""
    num_envs = int(name.removeprefix("jax x"))
    sizes = ["--num-envs", num_envs, "--steps", STEPS["CartPole-v1"], "--minibatches", MINIBATCHES]
    command = [sys.executable, ROOT / "benchmarks" / "jax_ppo.py", *sizes, "--updates", 50]
    shares = {**os.environ, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    with alone:
        done = subprocess.run([*map(str, command)], capture_output=True, text=True, env=shares)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    found = json.loads(done.stdout.strip().splitlines()[-1])
    kept = ("env_id", "num_envs", "steps_per_second", "startup_seconds")
    return {"trainer": "jax", **{key: found[key] for key in kept}}


def measured(what: Row | str, seconds: float, alone: Any) -> Found:
    """A row, or why there is none; `alone` is held while it is timed."""
    try:
        if isinstance(what, str) and what.startswith("jax"):
            return plain_jax(what, seconds, alone)
        if isinstance(what, str):
            return peer(what, seconds, alone)
        return ours(what, seconds, alone)
    except Exception as error:  # the page holds what works
        traceback.print_exc()
        return {"error": f"{type(error).__name__}: {error}"[:300]}


def tests() -> str:
    """The last line of the tests that need a GPU."""
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "tests/core", "tests/envs"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    print(done.stdout[-6000:], done.stderr[-1000:], flush=True)
    return done.stdout.strip().splitlines()[-1].strip("= ")


def page(results: Found) -> str:
    machine = results["machine"]
    rows = results["rows"]
    lines = [
        f"{machine['gpu']}, torch {machine['torch']}, Python {machine['python']}",
        "",
        "| trainer | environment | environments | layers | | numbers | steps/s | kernels a batch "
        "| peak MiB | first three batches, s |",
        "|" + " --- |" * 10,
    ]
    for found in (rows[name] for name in sorted(rows) if "error" not in rows[name]):
        how = {True: "graphs", False: "eager", None: ""}[found.get("compiles")]
        width = f"2x{found.get('width', 64)}"
        cells = [TRAINERS.get(found["trainer"], "ours"), found["env_id"], f"{found['num_envs']:,}"]
        cells += [width, how, found.get("precision", "float32")]
        cells += [f"{found['steps_per_second']:,}"]
        cells += [str(found.get(name, "")) for name in ("kernels_per_batch", "peak_mib")]
        cells += [str(found["startup_seconds"])]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", f"Tests marked `gpu`: {results.get('tests', 'not run')}"]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="+", default=["tests", "eager", "graphs", "peers"])
    parser.add_argument("--seconds", type=float, default=2.0, help="of a round")
    args = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("benchmarks/gpu.py: no GPU is there (torch.cuda.is_available() is false)")
    results: Found = {"rows": {}}
    results["machine"] = {
        "gpu": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    jobs: dict[str, Row | str] = {
        row.name: row for row in ROWS if ("graphs" if row.compiles else "eager") in args.only
    }
    jobs |= {name: name for name in PEERS if "peers" in args.only}
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, ProcessPoolExecutor(max(1, len(jobs)), context) as pool:
        alone = manager.Lock()
        futures = {pool.submit(measured, job, args.seconds, alone): n for n, job in jobs.items()}
        for future in as_completed(futures):
            results["rows"][futures[future]] = future.result()
            print(json.dumps({futures[future]: future.result()}), flush=True)
            write(results)
    if "tests" in args.only:
        results["tests"] = tests()
        write(results)
    print(page(results))


def write(results: Found) -> None:
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "gpu.json").write_text(json.dumps(results, indent=1) + "\n")
    (RESULTS / "gpu.md").write_text(page(results))


if __name__ == "__main__":
    main()
