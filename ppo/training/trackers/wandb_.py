"""Weights & Biases. Its own variables hold: WANDB_PROJECT, WANDB_ENTITY, WANDB_MODE=offline."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import wandb

STEPS = "env_steps"


class Tracker:
    """One run there for a run here, its files below wandb/ of the run folder."""

    def start(self, run: Path, settings: dict[str, Any], known: str | None) -> str | None:
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "ppo"),
            name=run.name,
            id=known,
            resume="allow",
            dir=str(run),
            config=settings,
            reinit="create_new",
        )
        # A run that goes on after a kill logs some steps again: they are an axis, not the counter.
        self._run.define_metric(STEPS)
        self._run.define_metric("*", step_metric=STEPS)
        return str(self._run.id)

    def log(self, values: dict[str, float], step: int) -> None:
        self._run.log({**values, STEPS: step})

    def end(self, summary: dict[str, Any]) -> None:
        known = {name: summary.get(name) for name in ("status", "best_return", "final_return")}
        self._run.summary.update(known)
        self._run.finish(exit_code=int(summary.get("exit_status") or 0))
