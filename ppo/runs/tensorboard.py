"""TensorBoard event files: one event a batch holds every figure."""

from __future__ import annotations

import os
import socket
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from ppo.config import Config
from ppo.core.metrics import METRICS
from ppo.runs import files

FLUSH_SECONDS = 10.0


class TensorBoardLog:
    """Writes records; steps are environment steps.

    Args:
        folder: made if absent.
        purge_step: on a resume, events from this step on are declared void.
    """

    def __init__(self, folder: Path, purge_step: int | None = None) -> None:
        # Imported here: reading a configuration should not wait for TensorBoard.
        from tensorboard.compat.proto import event_pb2, summary_pb2
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._event, self._summary = event_pb2, summary_pb2
        self._folder = folder
        with self._reporting():
            folder.mkdir(parents=True, exist_ok=True)
            # Not TensorBoard's own writer: its thread meets a full disk with a traceback.
            seconds, rest = divmod(time.time_ns(), 10**9)
            name = f"events.out.tfevents.{seconds:010d}.{rest:09d}.{socket.gethostname()}"
            self._writer = RecordWriter((folder / f"{name}.{os.getpid()}").open("wb"))
        self._flushed = time.monotonic()
        self._put(file_version="brain.Event:2")
        self._groups = {metric.name: metric.group for metric in METRICS}
        if purge_step is not None:
            start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
            self._put(step=purge_step, session_log=start)

    def add(self, record: dict[str, Any]) -> None:
        """One record as one event."""
        pairs = [
            (f"{self._groups[name]}/{name}", value)
            for name, value in record.items()
            if name in self._groups and value is not None and name not in ("batch", "env_steps")
        ]
        pairs += [  # custom/NAME, from callbacks
            (name, value) for name, value in record.items() if "/" in name and value is not None
        ]
        for component, figures in record["components"].items():
            pairs += [
                (f"component_{component}/{name}", value)
                for name, value in figures.items()
                if isinstance(value, int | float)
            ]
        self.scalars(dict(pairs), record["env_steps"])

    def scalars(self, values: dict[str, float], step: int) -> None:
        """Some numbers at one step."""
        entries = [
            self._summary.Summary.Value(tag=tag, simple_value=value)
            for tag, value in values.items()
        ]
        self._put(step=step, summary=self._summary.Summary(value=entries))

    def hyperparameters(self, config: Config, metrics: dict[str, float]) -> None:
        """Settings with the run's final figures, for the HPARAMS page."""
        from tensorboard.plugins.hparams import summary_v2 as hp

        flat = {
            f"{section}.{key}": value if isinstance(value, bool | int | float | str) else str(value)
            for section, values in config.model_dump().items()
            for key, value in values.items()
        }
        for summary in (
            hp.hparams_pb(flat),
            hp.hparams_config_pb(
                hparams=[hp.HParam(name) for name in flat],
                metrics=[hp.Metric(name) for name in metrics],
            ),
        ):
            self._put(summary=summary)
        self.scalars(metrics, 0)

    def flush(self) -> None:
        with self._reporting():
            self._writer.flush()

    def close(self) -> None:
        with self._reporting():
            self._writer.close()

    def _put(self, **content: Any) -> None:
        with self._reporting():
            event = self._event.Event(wall_time=time.time(), **content)
            self._writer.write(event.SerializeToString())
            if time.monotonic() - self._flushed > FLUSH_SECONDS:
                self._flushed = time.monotonic()
                self._writer.flush()

    def _reporting(self) -> AbstractContextManager[None]:
        return files.reporting(self._folder, "write TensorBoard's events")
