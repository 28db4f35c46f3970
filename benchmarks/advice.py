"""Follows the first advice that a training prints, once, and compares the final returns.

    python benchmarks/advice.py --out advice.jsonl          # goes on where it stopped
    python benchmarks/advice.py --out advice.jsonl --table  # prints the table of docs/doctor.md

Ten settings that make the shipped environment and CartPole ill, chosen before anything was run.
Each is trained with them and again with the first `try KEY=VALUE` of the live console, with the
same seed. The final return is that of summary.json: the last 100 episodes of training. `healthy`
is the same budget without the ill setting.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from runs import FIXED  # noqa: E402

from ppo import Config, Trainer  # noqa: E402
from ppo.core.figures import number  # noqa: E402

QUIET = (
    "system.compile=never",
    "logging.tensorboard=false",
    "evaluation.interval=0",
    "evaluation.episodes=1",
)
SEEDS = (7, 8)  # chosen before anything was run
TASKS = {  # configuration and budget of each task: about 40 batches
    "DoubleIntegrator": (None, ("env.num_envs=64", "train.total_timesteps=150000")),
    "CartPole": ("benchmarks/configs/cartpole.yaml", ("train.total_timesteps=40000",)),
}
_RAW = ("ppo.normalize_returns=false", "ppo.use_relative_value_clip=false")


@dataclass(frozen=True)
class Ill:
    """A task and the settings that make it ill; none of them: healthy."""

    name: str
    task: str
    settings: tuple[str, ...] = ()


CASES = [
    Ill("healthy_double", "DoubleIntegrator"),
    Ill("healthy_cart", "CartPole"),
    Ill("fixes off", "DoubleIntegrator", (*_RAW, "ppo.value_clip_epsilon=200")),
    Ill("rate x 50", "DoubleIntegrator", ("ppo.learning_rate=0.05",)),
    Ill("rate / 1000", "DoubleIntegrator", ("ppo.learning_rate=1e-6",)),
    Ill("entropy bonus 1", "DoubleIntegrator", ("ppo.entropy_coefficient=1.0",)),
    Ill("narrow start", "DoubleIntegrator", ("network.initial_log_std=-5",)),
    Ill("discount 0.2", "DoubleIntegrator", ("ppo.gamma=0.2",)),
    Ill("rate x 50", "CartPole", ("ppo.learning_rate=0.05",)),
    Ill("rate / 1000", "CartPole", ("ppo.learning_rate=1e-6",)),
    Ill("entropy bonus 2", "CartPole", ("ppo.entropy_coefficient=2.0",)),
    Ill("tight value clip", "CartPole", (*_RAW, "ppo.value_clip_epsilon=0.02")),
]


class FirstAdvice:
    """A callback that keeps the first finding which the console prints."""

    found: Any = None
    batch: int | None = None

    def on_batch(self, trainer: Any, record: dict[str, Any]) -> None:
        if self.found is None and trainer.doctor.new:
            self.found, self.batch = trainer.doctor.new[0], record["batch"]


def setting(remedy: str) -> str | None:
    """The KEY=VALUE that a remedy advises first; None where it is none that one can type."""
    typed = re.match(r"([a-z_.]+=\S+)", remedy.split("; else ")[0])
    return typed[1] if typed else None


def train(case: Ill, seed: int, more: tuple[str, ...] = ()) -> tuple[dict[str, Any], FirstAdvice]:
    """One training; what summary.json holds, and the first advice."""
    config, budget = TASKS[case.task]
    fixed = () if config else FIXED
    settings = [*fixed, *QUIET, *budget, *case.settings, f"system.seed={seed}", *more]
    advice = FirstAdvice()
    with tempfile.TemporaryDirectory() as folder:
        path = ROOT / config if config else None
        trainer = Trainer(Config.load(path, overrides=settings), folder, callbacks=[advice])
        with trainer:
            summary = trainer.train()
    if summary["status"] == "interrupted":
        raise SystemExit(summary["exit_status"])
    return summary, advice


def follow(case: Ill, seed: int) -> dict[str, Any]:
    """The record of one case: return before, advice, return after."""
    before, advice = train(case, seed)
    found = advice.found
    row = {
        "task": case.task,
        "case": case.name,
        "settings": list(case.settings),
        "seed": seed,
        "before": before["final_return"],
        "verdict": before.get("verdict"),
        "illness": found.illness if found else None,
        "since_batch": advice.batch,
        "advice": setting(found.remedy) if found else None,
        "after": None,
    }
    if case.settings and row["advice"]:
        after, _ = train(case, seed, (row["advice"],))
        row |= {"after": after["final_return"], "verdict_after": after.get("verdict")}
    return row


def table(rows: list[dict[str, Any]]) -> str:
    """The table in Markdown, and how many improve."""
    healthy = {(r["task"], r["seed"]): r["before"] for r in rows if not r["settings"]}
    lines = [
        "| task | ill setting | seed | at batch | finding | advice | before | after | healthy |",
        "|-|-|-|-|-|-|-|-|-|",
    ]
    better: dict[tuple[str, str], list[bool]] = {}
    for row in rows:
        if not row["settings"]:
            continue
        gained = row["after"] is not None and row["after"] > row["before"]
        better.setdefault((row["task"], row["case"]), []).append(gained)
        reference = healthy.get((row["task"], row["seed"]), float("nan"))
        cells = [row["task"], row["case"], str(row["seed"]), str(row["since_batch"])]
        cells += [str(row["illness"]), f"`{row['advice']}`", number(row["before"])]
        cells += ["-" if row["after"] is None else number(row["after"]), number(reference)]
        lines.append("| " + " | ".join(cells) + " |")
    always = sum(all(values) for values in better.values())
    runs = [value for values in better.values() for value in values]
    lines.append(
        f"\nimproves: {sum(runs)} of {len(runs)} runs; {always} of {len(better)} settings with "
        "every seed"
    )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="JSON lines, one a case")
    parser.add_argument("--table", action="store_true", help="print the table and train nothing")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    args = parser.parse_args()
    text = args.out.read_text() if args.out.exists() else ""
    rows = [json.loads(line) for line in text.splitlines()]
    done = {(row["task"], row["case"], row["seed"]) for row in rows}
    for seed in () if args.table else args.seeds:
        for case in CASES:
            if (case.task, case.name, seed) in done:
                continue
            row = follow(case, seed)
            rows.append(row)
            with args.out.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(json.dumps(row), flush=True)
    print(table(rows))


if __name__ == "__main__":
    main()
