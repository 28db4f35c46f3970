"""Stands for `python -m ppo --mode train` in tests of experiments: quick, and with faults.

What it is told by ppo.gamma: 0.1 fails, 0.2 fails only the first time, 0.3 never ends, 0.4 diverges
in its first batch where the seed is 1. It writes its name into started.txt of its results folder at
every start.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from insight_runs import healthy  # noqa: E402

from ppo.runs.folder import RunFolder  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser()
    for flag in ("--mode", "--results", "--resume", "--config", "--seed", "--experiment"):
        parser.add_argument(flag)
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--quiet", action="store_true")
    args = parser.parse_args(sys.argv[1:])
    results = Path(args.results)
    starts = results / "started.txt"
    with starts.open("a") as file:
        file.write(f"{args.resume or 'new'}\n")
    settings = dict(setting.split("=", 1) for setting in args.set)
    gamma = settings.get("ppo.gamma", "0.9")
    if gamma == "0.1" or (gamma == "0.2" and len(starts.read_text().splitlines()) == 1):
        print("error: out of luck", file=sys.stderr)
        return 1
    if args.resume:
        folder = RunFolder.open(results, args.resume)
        folder.lock()
        level, seed = json.loads((folder.path / "checkpoints" / "kept.json").read_text())
    else:
        level, seed = (100.0 if gamma == "0.99" else 0.0), int(args.seed)
        gammas = f"ppo: {{gamma: {gamma}}}\nsystem: {{seed: {seed}}}\n"
        texts = {"config.yaml": gammas, "command.txt": shlex.join(sys.argv)}
        folder = RunFolder.create(results, texts)
        folder.write_json("checkpoints/kept.json", [level, seed])
    folder.set_status("running")
    if gamma == "0.4" and seed == 1:
        folder.set_status("failed", exit_status=4, reason="batch 0: diverged")
        print("error: batch 0: diverged\nerror: more: --mode diagnose run0001", file=sys.stderr)
        return 4
    for record in healthy(20, seed=seed, level=level + seed)[len(folder.records()) :]:
        folder.append(record)
        time.sleep(0.02)
    while gamma == "0.3":
        time.sleep(0.1)
    folder.set_status("finished")
    folder.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
