"""Short training runs for the experiments in this folder: one process, results saved as they come.

A results file holds one run a line, so an interrupted experiment continues.
"""

from __future__ import annotations

import json
import math
import statistics
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

from ppo.algorithm import build
from ppo.config import Config
from ppo.config.automatic import names
from ppo.config.file import text_of
from ppo.config.words import known_paths

RESULTS = Path(__file__).resolve().parent / "results"
FIELDS = (
    "total_loss",
    "value_loss",
    "normalized_value_loss",
    "mean_episode_return",
    "success_rate",
    "explained_variance",
    "grad_clip_factor",
    "value_clip_fraction",
    "approx_kl",
    "value_to_policy_gradient",
    "batches_to_reach",
)

Run = dict[str, Any]

# What `auto` stands for where nothing chooses: the settings that earlier records were made with.
FIXED = [f"{name}={text_of(known_paths(Config)[name].default)}" for name in names(Config)]


def rounded(value: Any, digits: int = 5) -> Any:
    """A number rounded to significant digits; null stays null."""
    return float(f"{value:.{digits}g}") if isinstance(value, float) else value


def train(overrides: Sequence[str], num_batches: int) -> tuple[list[dict[str, Any]], float]:
    """Records of `num_batches` batches on the CPU (fields of FIELDS), and their CPU seconds."""
    config = Config.from_dict({}, [*overrides, "system.device=cpu", "system.compile=never"])
    torch.set_num_threads(1)
    device = torch.device("cpu")
    envs = build.build_environments(config, device)
    learner = build.build_learner(config, envs, device)
    learner.start()
    started = time.process_time()
    records = [learner.step() for _ in range(num_batches)]
    seconds = time.process_time() - started
    envs.close()
    return [{name: rounded(r[name]) for name in FIELDS} for r in records], seconds


class ResultsFile:
    """Runs by their key, one line each, beneath a header; rewritten whole through a rename."""

    def __init__(self, path: Path, header: dict[str, Any]) -> None:
        self.path, self.header = path, header
        self.runs: list[Run] = json.loads(path.read_text())["runs"] if path.exists() else []

    def has(self, **key: Any) -> bool:
        return any(all(run.get(k) == v for k, v in key.items()) for run in self.runs)

    def add(self, run: Run) -> None:
        self.runs.append(run)
        lines = ",\n".join(json.dumps(item) for item in self.runs)
        head = json.dumps(self.header)[1:-1]
        part = self.path.with_suffix(".part")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(f'{{{head}{", " if head else ""}"runs": [\n{lines}\n]}}\n')
        part.replace(self.path)

    def of(self, **key: Any) -> list[Run]:
        return [run for run in self.runs if all(run.get(k) == v for k, v in key.items())]


def mean(values: Iterable[float | None]) -> float:
    """Mean of the known values; NaN where there are none."""
    known = [v for v in values if v is not None]
    return statistics.fmean(known) if known else math.nan


def spread(values: Iterable[float | None]) -> float:
    """Standard deviation over seeds; 0 for a single one."""
    known = [v for v in values if v is not None]
    return statistics.stdev(known) if len(known) > 1 else 0.0


def last(records: Sequence[dict[str, Any]], field: str, window: int) -> float:
    """Mean of a field over the last `window` batches."""
    return mean(record[field] for record in records[-window:])


def parted(records: list[dict[str, Any]], count: int) -> list[list[dict[str, Any]]]:
    """The records of a run in so many parts of equal length."""
    cuts = [len(records) * i // count for i in range(count + 1)]
    return [records[a:b] for a, b in zip(cuts[:-1], cuts[1:], strict=True)]


def say(text: str) -> None:
    """Progress, at once, on stderr."""
    print(text, file=sys.stderr, flush=True)
