"""Further ill runs, of two environments and three illnesses that no earlier sample has.

    python benchmarks/doctor_runs.py make --out more     # 44 runs; goes on where it stopped
    python benchmarks/doctor_runs.py judge --out more    # the table of docs/doctor.md

The environments are InvertedDoublePendulum-v5 and Catch-v0 (small_envs.py), the writers this
trainer and Stable-Baselines3 (pip install stable-baselines3). New illnesses: a discount that sees
no consequence, a reward far outside all others, gradients cut to nothing.

Seeds and halves were fixed before the first run: rules may be changed with the development half in
view (Catch by this trainer, the double pendulum by Stable-Baselines3), not with the other one.
A run meant to be ill that gains 90 % of what healthy runs of its writer and environment gain is not
ill: it is named below the table and not counted.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.doctor import gain, table  # noqa: E402
from benchmarks.doctor_cases import Case, Spoil  # noqa: E402

SEED = 4021  # of every run; the second healthy one has the next
DOUBLE, CATCH = "InvertedDoublePendulum-v5", "benchmarks.small_envs:Catch-v0"
DEVELOPMENT = {("own", CATCH), ("sb3", DOUBLE)}
SHORT = {DOUBLE: "double", CATCH: "catch"}
TIMESTEPS = {DOUBLE: 24_576, CATCH: 20_480}  # 24 and 40 batches
SB3: dict[str, dict[str, Any]] = {
    DOUBLE: {"n_steps": 256, "batch_size": 256, "n_epochs": 6, "learning_rate": 1e-3},
    CATCH: {"n_steps": 128, "batch_size": 128, "n_epochs": 6, "learning_rate": 1e-3},
}
OWN = {
    DOUBLE: ("env.num_envs=8", "ppo.num_steps=128", "ppo.num_minibatches=4"),
    CATCH: ("env.num_envs=16", "ppo.num_steps=32", "ppo.num_minibatches=4"),
}
_QUIET = (
    "system.compile=never",
    "logging.tensorboard=false",
    "evaluation.interval=0",
    "evaluation.episodes=1",
)
_RAW = ("ppo.normalize_returns=false", "ppo.use_relative_value_clip=false", "ppo.value_clip=none")


@dataclass(frozen=True)
class Sick:
    """One run: `truth` is what it was given, `spoil` what is done to its environment."""

    name: str
    writer: str
    env: str
    truth: str = ""
    settings: tuple[str, ...] = ()  # of this trainer
    arguments: tuple[tuple[str, Any], ...] = ()  # of Stable-Baselines3's PPO
    spoil: tuple[tuple[str, float], ...] = ()
    seed: int = SEED

    @property
    def folder(self) -> str:
        return f"{self.writer}-{SHORT[self.env]}-{self.name}"

    @property
    def held_out(self) -> bool:
        return (self.writer, self.env) not in DEVELOPMENT


def _own(env: str) -> list[Sick]:
    continuous = env == DOUBLE
    bonus = "1.0" if continuous else "2.0"
    narrow = "network.initial_log_std=-5" if continuous else "ppo.entropy_coefficient=-0.5"
    cases = [
        ("healthy", "", (), ()),
        ("rate_high", "learning_rate_too_high", ("ppo.learning_rate=0.05",), ()),
        ("rate_low", "learning_rate_too_low", ("ppo.learning_rate=1e-6",), ()),
        ("bonus", "entropy_coefficient_too_high", (f"ppo.entropy_coefficient={bonus}",), ()),
        ("narrow", "entropy_collapse", (narrow,), ()),
        ("scale", "reward_scale_too_large", (*_RAW, "env.reward_scale=10000"), ()),
        ("discount", "gamma_horizon", ("ppo.gamma=0.1" if continuous else "ppo.gamma=0.01",), ()),
        ("outlier", "reward_outlier", (), (("outlier", -1e6),)),
        ("cut", "gradients_always_clipped", ("ppo.max_grad_norm=1e-6",), ()),
        (
            "inputs",
            "observations_unnormalized",
            ("env.normalize_observations=false",),
            (("obs_scale", 1000.0),),
        ),
    ]
    runs = [Sick(name, "own", env, truth, s, (), spoil) for name, truth, s, spoil in cases]
    return [*runs, Sick("healthy2", "own", env, seed=SEED + 1)]


def _sb3(env: str) -> list[Sick]:
    continuous = env == DOUBLE
    narrow = (
        ("policy_kwargs", {"log_std_init": -5.0}) if continuous else ("ent_coef", -0.5)
    )  # fmt: skip
    cases: list[tuple[str, str, tuple, tuple]] = [
        ("healthy", "", (), ()),
        ("rate_high", "learning_rate_too_high", (("learning_rate", 0.05),), ()),
        ("rate_low", "learning_rate_too_low", (("learning_rate", 1e-6),), ()),
        (
            "bonus",
            "entropy_coefficient_too_high",
            (("ent_coef", 1.0 if continuous else 2.0),),
            (),
        ),
        ("narrow", "entropy_collapse", (narrow,), ()),
        ("scale", "reward_scale_too_large", (), (("reward_scale", 1e4),)),
        ("clip", "value_clip_too_tight", (("clip_range_vf", 0.02),), ()),
        ("outlier", "reward_outlier", (), (("outlier", -1e6),)),
        ("silent", "no_reward_signal", (), (("reward_scale", 0.0),)),
        ("inputs", "observations_unnormalized", (), (("obs_scale", 1000.0),)),
    ]
    runs = [Sick(name, "sb3", env, truth, (), a, spoil) for name, truth, a, spoil in cases]
    return [*runs, Sick("healthy2", "sb3", env, seed=SEED + 1)]


RUNS = [run for env in (CATCH, DOUBLE) for run in (*_own(env), *_sb3(env))]


def spoiled(base: str, **spoil: Any) -> gym.Env:
    """The environment `base` with the changes of `doctor_cases.Spoil`."""
    return Spoil(gym.make(base), Case("spoiled", base, **spoil))


gym.register("Spoiled-v0", entry_point=spoiled)


def make(out: Path, only: list[str] | None) -> None:
    """Every run that has no label yet, one after the other in this process."""
    for run in RUNS:
        folder = out / run.folder
        if (only and run.folder not in only) or (folder / "label.json").exists():
            continue
        folder.mkdir(parents=True, exist_ok=True)
        ended = _train_own(run, folder) if run.writer == "own" else _train_sb3(run, folder)
        label = {"truth": [run.truth] if run.truth else [], "held_out": run.held_out}
        (folder / "label.json").write_text(json.dumps(label | {"ended": ended}))
        print(run.folder, ended, flush=True)


def _train_own(run: Sick, folder: Path) -> str:
    from runs import FIXED

    from ppo import Config, Trainer

    env = [f"env.id={run.env}"]
    if run.spoil:
        env = ["env.id=benchmarks.doctor_runs:Spoiled-v0", f"env.kwargs.base={run.env}"]
        env += [f"env.kwargs.{key}={value}" for key, value in run.spoil]
    total = f"train.total_timesteps={TIMESTEPS[run.env]}"
    settings = [
        *FIXED,
        *_QUIET,
        *env,
        *OWN[run.env],
        total,
        f"system.seed={run.seed}",
        *run.settings,
    ]
    try:
        with Trainer(Config.load(overrides=settings), folder) as trainer:
            return str(trainer.train()["status"])
    except Exception as fault:
        return str(fault).splitlines()[0]


def _train_sb3(run: Sick, folder: Path) -> str:
    import torch
    from stable_baselines3 import PPO
    from stable_baselines3.common.logger import configure
    from stable_baselines3.common.monitor import Monitor
    from stable_baselines3.common.vec_env import DummyVecEnv

    case = Case(run.name, run.env, **dict(run.spoil))
    torch.set_num_threads(1)
    settings = {**SB3[run.env], **dict(run.arguments)}
    envs = DummyVecEnv([lambda: Spoil(Monitor(gym.make(run.env)), case)] * 4)
    model = PPO("MlpPolicy", envs, seed=run.seed, device="cpu", **settings)
    model.set_logger(configure(str(folder), ["tensorboard"]))
    try:
        model.learn(TIMESTEPS[run.env])
    except ValueError as fault:  # torch.distributions refuses NaN
        return str(fault).splitlines()[0]
    finally:
        model.logger.close()
    return "finished"


def judge(out: Path) -> str:
    """The confusion table, the runs that came out otherwise, and those that were not ill."""
    from ppo.insight.doctor import diagnose
    from ppo.insight.logs import read_log
    from ppo.insight.verdict import status

    runs = [run for run in RUNS if (out / run.folder / "label.json").exists()]
    logs = {run.folder: read_log(out / run.folder) for run in runs}
    gains: dict[tuple[str, str], list[float]] = {}
    for run in runs:
        if not run.truth:
            gains.setdefault((run.writer, run.env), []).append(gain(logs[run.folder]))
    confusion: Counter[tuple[str, str, bool]] = Counter()
    wrong, learned = [], []
    for run in runs:
        usual = float(np.median(gains.get((run.writer, run.env), [np.inf])))
        findings = diagnose(logs[run.folder])
        first = findings[0].illness if findings else "healthy"
        if run.truth and gain(logs[run.folder]) >= 0.9 * usual:
            learned.append(f"{run.folder} ({first})")
            continue
        truth = run.truth or "healthy"
        confusion[truth, first, run.held_out] += 1
        if truth != first:
            half = "held out" if run.held_out else "development"
            said = ", ".join(f.illness for f in findings) or status(logs[run.folder], findings)
            wrong.append(f"{run.folder} ({half}): {truth} taken for {said}")
    lines = [table(confusion), "", *(f"- {line}" for line in wrong), ""]
    return "\n".join(
        [*lines, f"learned as well as healthy runs, not counted: {', '.join(learned)}"]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=["make", "judge"])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", nargs="*", help="names of runs")
    args = parser.parse_args()
    if args.command == "make":
        make(args.out, args.only)
    else:
        print(judge(args.out))


if __name__ == "__main__":
    main()
