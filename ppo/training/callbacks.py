"""Shipped callbacks: those that end a run, and the one that draws videos."""

from __future__ import annotations

import math
import numbers
from typing import Any

import numpy as np

from ppo.core.errors import EnvironmentFault, UserError
from ppo.insight.rules import FATAL
from ppo.policies.evaluate import check_whole, render
from ppo.training.observers import Callback


class StopAtReturn(Callback):
    """Ends the run once the mean return is at least `value`.

    Args:
        value: in the environment's own units.
        episodes: number of latest training episodes in the mean; at most 100. The
            mean of an evaluation counts as well.
    """

    def __init__(self, value: float, episodes: int = 100) -> None:
        check_whole("StopAtReturn: episodes", episodes, 1, 100)
        number: Any = value
        if not isinstance(number, numbers.Real) or not math.isfinite(number):
            raise UserError(f"StopAtReturn: value: {value!r}; allowed: a finite number")
        self.value, self.episodes = value, episodes

    def on_batch(self, trainer: Any, record: dict[str, Any]) -> None:
        recent = trainer.recent[-self.episodes :]
        if len(recent) == self.episodes and np.mean(recent) >= self.value:
            self._stop(trainer, float(np.mean(recent)), f"over the last {self.episodes} episodes")

    def on_evaluation(self, trainer: Any, row: dict[str, Any]) -> None:
        if row["mean_return"] >= self.value:
            self._stop(trainer, row["mean_return"], "in an evaluation")

    def _stop(self, trainer: Any, mean: float, where: str) -> None:
        trainer.stop(f"mean return {mean:.4g} {where}, {self.value:g} was asked for")


class StopAtNoImprovement(Callback):
    """Ends the run after some evaluations in a row that were not better than the best before.

    Args:
        evaluations: how many, each after `evaluation.interval` batches.
    """

    def __init__(self, evaluations: int = 10) -> None:
        check_whole("StopAtNoImprovement: evaluations", evaluations, 1)
        self.evaluations = evaluations
        self.best: float | None = None
        self.since = 0  # evaluations since the best one

    def on_evaluation(self, trainer: Any, row: dict[str, Any]) -> None:
        if self.best is None or row["mean_return"] > self.best:
            self.best, self.since = row["mean_return"], 0
            return
        self.since += 1
        if self.since >= self.evaluations:
            trainer.stop(f"no evaluation of the last {self.since} was better than {self.best:.4g}")

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "since": self.since}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best, self.since = state["best"], state["since"]


class StopAtFatalFinding(Callback):
    """Ends the run when the doctor finds something from which no run recovers."""

    def on_start(self, trainer: Any) -> None:
        if not trainer.config.logging.doctor:
            raise UserError("StopAtFatalFinding: it needs logging.doctor: true")

    def on_batch(self, trainer: Any, record: dict[str, Any]) -> None:
        for finding in trainer.findings:
            if finding.severity == FATAL:
                trainer.stop(f"{finding.illness}: {finding.evidence}; try {finding.remedy}")


class RecordVideo(Callback):
    """Draws an episode of the policy as videos/batch_000100.gif of the run folder.

    An environment that cannot draw is an event, once; the run goes on.

    Args:
        every: batches from one video to the next.
        seed: of the episode, the same in every video.
    """

    def __init__(self, every: int = 100, seed: int = 0) -> None:
        check_whole("RecordVideo: every", every, 1)
        check_whole("RecordVideo: seed", seed, 0)
        self.every, self.seed = every, seed
        self.cannot = False

    def on_batch(self, trainer: Any, record: dict[str, Any]) -> None:
        batch = record["batch"] + 1
        if self.cannot or batch % self.every:
            return
        fault = None
        if trainer.folder is not None:
            path = trainer.folder.path / "videos" / f"batch_{batch:06d}.gif"
            source = trainer.given.source if trainer.given else None
            try:
                render(trainer.policy, path, self.seed, source)
            except (UserError, EnvironmentFault, OSError) as error:
                fault = str(error).replace("--render: ", "")
        if fault is not None:
            self.cannot = True
            record["events"].append(f"RecordVideo: {fault}; no videos are recorded")

    def state_dict(self) -> dict[str, Any]:
        return {"cannot": self.cannot}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.cannot = state["cannot"]
