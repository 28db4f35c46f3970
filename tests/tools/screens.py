"""A console with a screen to read and a clock that the test turns."""

from __future__ import annotations

import io
from typing import Any

from ppo.cli.console import Console

HEALTHY: dict[str, Any] = {
    "batch": 3,
    "env_steps": 61_440,
    "mean_episode_return": 214.4,
    "success_rate": 0.09,
    "explained_variance": 0.61,
    "approx_kl": 0.0094,
    "clip_fraction": 0.11,
    "normalized_value_loss": 0.37,
    "grad_clip_factor": 0.8,
    "steps_per_second": 612_000.0,
    "total_loss": 0.1,
    "policy_loss": -0.012,
    "value_loss": 0.37,
    "value_loss_weight": 0.25,
    "entropy": 1.41,
    "entropy_coefficient": 0.01,
    "learning_rate": 1e-3,
    "policy_std": None,
}
SICK = {
    "explained_variance": -0.74,
    "approx_kl": 0.0388,
    "clip_fraction": 0.33,
    "normalized_value_loss": 6.1,
    "grad_clip_factor": 9.8,
}
SUMMARY: dict[str, Any] = {
    "run": "run0042",
    "path": "training_results/run0042",
    "status": "finished",
    "env_steps": 1_000_000,
    "wall_time_s": 2.0,
    "final_return": 788.2,
    "final_return_ci95": [760.0, 815.0],
    "best_evaluation": {"mean_return": 801.3, "batch": 60},
    "findings": [],
    "time": {"collect": 1.0, "update": 2.5, "other": 0.5},
}


class Screen(io.StringIO):
    """A stream that says whether it is a terminal."""

    def __init__(self, terminal: bool = False) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def make(
    terminal: bool = False, verbosity: str = "normal", **options: Any
) -> tuple[Console, Screen, Clock]:
    screen, clock = Screen(terminal), Clock()
    return Console(screen, verbosity, 1_000_000, clock=clock, **options), screen, clock


def shown_batches(screen: Screen) -> list[int]:
    lines = (line.split() for line in screen.getvalue().splitlines())
    return [int(words[0]) for words in lines if len(words) == 11 and words[0].isdigit()]
