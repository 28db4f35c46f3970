"""Trackio, whose runs stay on this machine; TRACKIO_DIR and TRACKIO_PROJECT hold."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import trackio


class Tracker:
    """One run there for a run here, named by its folder."""

    def start(self, run: Path, settings: dict[str, Any], known: str | None) -> str | None:
        name = known or f"{run.parent.name}-{run.name}"
        self._run = trackio.init(
            project=os.environ.get("TRACKIO_PROJECT", "ppo"),
            name=name,
            config={key: str(value) for key, value in settings.items()},
            resume="allow",
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )
        return name

    def log(self, values: dict[str, float], step: int) -> None:
        self._run.log(values, step=step)

    def end(self, summary: dict[str, Any]) -> None:
        self._run.finish()
