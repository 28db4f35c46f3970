"""MLflow. Its own variables hold: MLFLOW_TRACKING_URI (else mlflow.db beside the runs),
MLFLOW_EXPERIMENT_NAME."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from mlflow.entities import Metric, Param
from mlflow.tracking import MlflowClient

MOST_PARAMS = 100  # that one request takes
LONGEST = 500  # characters of a value
ENDED = {"finished": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}


class Tracker:
    """One run there for a run here."""

    def start(self, run: Path, settings: dict[str, Any], known: str | None) -> str | None:
        # Its newest version refuses a `file:` store, and sqlite needs no server.
        store = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{run.parent / 'mlflow.db'}"
        self._client = MlflowClient(store)
        if known is not None:
            self._id = known
            self._client.update_run(known, status="RUNNING")
            return known
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "ppo")
        found = self._client.get_experiment_by_name(name)
        experiment = found.experiment_id if found else self._client.create_experiment(name)
        self._id = self._client.create_run(experiment, run_name=run.name).info.run_id
        params = [Param(key, str(value)[:LONGEST]) for key, value in settings.items()]
        for first in range(0, len(params), MOST_PARAMS):
            self._client.log_batch(self._id, params=params[first : first + MOST_PARAMS])
        return str(self._id)

    def log(self, values: dict[str, float], step: int) -> None:
        now = int(time.time() * 1000)
        metrics = [Metric(name, float(value), now, step) for name, value in values.items()]
        self._client.log_batch(self._id, metrics=metrics)

    def end(self, summary: dict[str, Any]) -> None:
        self._client.set_terminated(self._id, ENDED.get(summary.get("status", ""), "FINISHED"))
