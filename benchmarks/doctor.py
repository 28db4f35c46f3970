"""Makes runs ill on purpose and counts how often the doctor names the illness first.

    python benchmarks/doctor.py make --writer sb3 --out sick --seeds 1 2 3
    python benchmarks/doctor.py make --writer own --out sick --seeds 1 2 3
    python benchmarks/doctor.py judge --out sick            # prints the table of docs/doctor.md

A run meant to be ill that gains 90 % or more of the return that healthy runs of its environment
gain is not ill: it is left out of the table and named below it.

`sb3` trains with Stable-Baselines3 (pip install stable-baselines3), `own` with this trainer.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

LOOKED_AT = {"sb3": 3, "own": 5}  # seeds up to which the rules were calibrated
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from ppo.insight.logs.log import MetricsLog  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    make = commands.add_parser("make")
    make.add_argument("--writer", choices=["sb3", "own"], required=True)
    make.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    make.add_argument("--only", nargs="*", help="names of cases")
    judge = commands.add_parser("judge")
    judge.add_argument(
        "--development", action="store_true", help="only what the rules were made on"
    )
    judge.add_argument("--held-out", action="store_true", help="only what they were not")
    for command in (make, judge):
        command.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    if args.command == "make":
        make_runs(args.writer, args.out, args.seeds, args.only)
    else:
        print(judge_runs(args.out, args.development, args.held_out))


def make_runs(writer: str, out: Path, seeds: list[int], only: list[str] | None) -> None:
    """Every case of the writer with every seed; existing runs are skipped."""
    from benchmarks.doctor_cases import CASES, OWN_CASES

    for seed in seeds:
        for case in CASES if writer == "sb3" else OWN_CASES:
            folder = out / f"{writer}-{case.name}-{seed}"
            if (only and case.name not in only) or (folder / "label.json").exists():
                continue
            folder.mkdir(parents=True, exist_ok=True)
            ended = (
                _train_sb3(case, folder, seed) if writer == "sb3" else _train(case, folder, seed)
            )
            label = {
                "case": case.name,
                "writer": writer,
                "seed": seed,
                "truth": [case.truth] if case.truth else [],
                "ended": ended,
            }
            (folder / "label.json").write_text(json.dumps(label, indent=1))
            print(folder.name, ended, flush=True)


def _train_sb3(case, folder: Path, seed: int) -> str:
    import gymnasium as gym
    import torch
    from stable_baselines3 import PPO
    from stable_baselines3.common.logger import configure
    from stable_baselines3.common.monitor import Monitor
    from stable_baselines3.common.vec_env import DummyVecEnv

    from benchmarks.doctor_cases import BASES, Spoil

    def one() -> gym.Env:
        env = gym.make(case.env, **case.env_kwargs)
        return Monitor(Spoil(env, case)) if case.monitor_outside else Spoil(Monitor(env), case)

    torch.set_num_threads(1)
    settings = {**BASES[case.env], **case.settings}
    model = PPO("MlpPolicy", DummyVecEnv([one] * 4), seed=seed, device="cpu", **settings)
    model.set_logger(configure(str(folder), ["tensorboard"]))
    ended = "finished"
    try:
        model.learn(case.timesteps)
    except ValueError as fault:  # torch.distributions refuses NaN: that run is meant to die
        ended = str(fault).splitlines()[0]
    model.logger.close()
    return ended


def _train(case, folder: Path, seed: int) -> str:
    command = [sys.executable, str(ROOT / "train_cli.py"), "--mode", "train", "--quiet"]
    command += ["--results", str(folder), "--seed", str(seed)]
    if case.config:
        command += ["--config", str(ROOT / case.config)]
    for setting in case.settings:
        command += ["--set", setting]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return f"exit {done.returncode}" + (f": {done.stderr[-200:]}" if done.returncode else "")


def judge_runs(out: Path, development: bool, held_out: bool) -> str:
    """A confusion table in Markdown: truth in rows, the doctor's first finding in columns."""
    from ppo.insight.doctor import diagnose
    from ppo.insight.logs import read_log

    confusion: Counter[tuple[str, str, bool]] = Counter()
    wrong, learned = [], []
    labels = {file.parent: json.loads(file.read_text()) for file in out.glob("*/label.json")}
    logs = {folder: read_log(_log_of(folder)) for folder in labels}
    usual = _healthy_gains(labels, logs)
    for folder, label in sorted(labels.items()):
        unseen = label["seed"] > LOOKED_AT[label["writer"]]
        if (development and unseen) or (held_out and not unseen):
            continue
        group = _group(label)
        if label["truth"] and group in usual and gain(logs[folder]) >= 0.9 * usual[group]:
            learned.append(folder.name)
            continue
        found = diagnose(logs[folder])
        truth = (label["truth"] or ["healthy"])[0]
        first = found[0].illness if found else "healthy"
        confusion[truth, first, unseen] += 1
        if truth != first:
            wrong.append(f"{folder.name}: {truth} taken for {first}")
    text = table(confusion) + "\n\n" + "\n".join(f"- {line}" for line in wrong)
    return f"{text}\n\nlearned as well as healthy runs, not counted: {', '.join(learned)}"


def _group(label: dict[str, Any]) -> tuple[str, str] | None:
    """Runs whose returns can be compared: of one writer in one environment."""
    from benchmarks.doctor_cases import CASES, OWN_CASES

    if label["writer"] == "sb3":
        case = next(case for case in CASES if case.name == label["case"])
        return None if case.monitor_outside else ("sb3", case.env)
    own = next(case for case in OWN_CASES if case.name == label["case"])
    return None if any("env.id" in s for s in own.settings) else ("own", own.config)


def gain(log: MetricsLog) -> float:
    """Growth of the mean episode return."""
    returns = log.get("mean_episode_return")
    known = returns[np.isfinite(returns)]
    return float(np.median(known[-5:]) - known[0]) if len(known) else -np.inf


def _healthy_gains(
    labels: dict[Path, dict[str, Any]], logs: dict[Path, MetricsLog]
) -> dict[Any, float]:
    gains: dict[Any, list[float]] = {}
    for folder, label in labels.items():
        if not label["truth"] and (group := _group(label)):
            gains.setdefault(group, []).append(gain(logs[folder]))
    return {group: float(np.median(values)) for group, values in gains.items()}


def _log_of(folder: Path) -> Path:
    runs = sorted(folder.glob("run*"))
    return runs[-1] if runs else folder


def table(confusion: Counter[tuple[str, str, bool]]) -> str:
    lines = [
        "| truth | runs | named first | held out: runs | named first | taken for |",
        "|-|-|-|-|-|-|",
    ]
    totals = Counter[str]()
    for truth in sorted({key[0] for key in confusion}, key=lambda t: (t == "healthy", t)):
        cells = [truth]
        for held in (False, True):
            count = sum(n for (t, _, h), n in confusion.items() if t == truth and h == held)
            right = confusion[truth, truth, held]
            kind = "healthy" if truth == "healthy" else "ill"
            totals[f"{kind}{held}"] += count
            totals[f"{kind}{held} right"] += right
            cells += [str(count), str(right)]
        others = [(f, n) for (t, f, _), n in confusion.items() if t == truth and f != truth]
        cells.append(", ".join(f"{first} {n}" for first, n in sorted(others)))
        lines.append("| " + " | ".join(cells) + " |")
    for kind in ("ill", "healthy"):
        cells = [f"**all {kind}**"]
        for held in (False, True):
            cells += [str(totals[f"{kind}{held}"]), str(totals[f"{kind}{held} right"])]
        lines.append("| " + " | ".join(cells) + " | |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
