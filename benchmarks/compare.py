"""Time and memory of comparing 200 runs of 10,000 batches.

    python benchmarks/compare.py [--runs 200] [--batches 10000]

Writes the runs into a temporary folder (3 GB) first.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "tools")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--batches", type=int, default=10_000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        _write(Path(folder), args.runs, args.batches)
        names = [f"run{number + 1:04d}" for number in range(args.runs)]
        page = Path(folder) / "page.html"
        command = [sys.executable, "-m", "ppo", "--mode", "compare", *names]
        command += ["--results", folder, "--html", str(page)]
        start = time.perf_counter()
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        wall = time.perf_counter() - start
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        print(
            f"{args.runs} runs of {args.batches} batches: {wall:.1f} s, "
            f"{used.ru_utime + used.ru_stime:.1f} s of CPU, "
            f"{used.ru_maxrss / 1024:.0f} MB in the largest process, "
            f"page {page.stat().st_size / 1e6:.1f} MB"
        )


def _write(folder: Path, runs: int, batches: int) -> None:
    from insight_runs import SETTINGS, healthy, write_run

    for number in range(runs):
        path = folder / f"run{number + 1:04d}"
        tree = json.loads(json.dumps(SETTINGS))
        tree["ppo"]["learning_rate"] = 1e-4 * (1 + number // 5)
        if number < 4:
            write_run(path, healthy(batches, seed=number), tree, seed=number % 5)
        else:
            write_run(path, [], tree, seed=number % 5)
            model = folder / f"run{number % 4 + 1:04d}" / "loss_metrics.json"
            shutil.copy(model, path / "loss_metrics.json")


if __name__ == "__main__":
    main()
