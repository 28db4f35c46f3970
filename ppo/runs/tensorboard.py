"""TensorBoard event files: one event a batch holds every figure."""

from __future__ import annotations

import os
import socket
import sys
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from ppo.config import Config
from ppo.core.metrics import METRICS
from ppo.runs import files

FLUSH_SECONDS = 10.0


def figures(record: dict[str, Any]) -> dict[str, float]:
    """Every number of a record, by the name that TensorBoard and trackers show."""
    groups = {metric.name: metric.group for metric in METRICS}
    pairs = [
        (f"{groups[name]}/{name}", value)
        for name, value in record.items()
        if name in groups and value is not None and name not in ("batch", "env_steps")
    ]
    pairs += [  # custom/NAME, from callbacks, and info/NAME, from environments
        (name, value) for name, value in record.items() if "/" in name and value is not None
    ]
    for component, found in record["components"].items():
        pairs += [
            (f"component_{component}/{name}", value)
            for name, value in found.items()
            if isinstance(value, int | float)
        ]
    return dict(pairs)


class TensorBoardLog:
    """Writes records; steps are environment steps.

    Args:
        folder: made if absent.
        purge_step: on a resume, events from this step on are declared void.
    """

    def __init__(self, folder: Path, purge_step: int | None = None) -> None:
        # Imported here: reading a configuration should not wait for TensorBoard.
        from tensorboard.compat.proto import event_pb2, summary_pb2

        self._event, self._summary = event_pb2, summary_pb2
        self._folder = folder
        with self._reporting():
            folder.mkdir(parents=True, exist_ok=True)
            self._writer = _Synced(folder) if "wandb" in sys.modules else _Plain(folder)
        self._flushed = time.monotonic()
        if purge_step is not None:
            start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
            self._put(step=purge_step, session_log=start)

    def add(self, record: dict[str, Any]) -> None:
        """One record as one event."""
        self.scalars(figures(record), record["env_steps"])

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
            self._writer.write(event)
            if time.monotonic() - self._flushed > FLUSH_SECONDS:
                self._flushed = time.monotonic()
                self._writer.flush()

    def _reporting(self) -> AbstractContextManager[None]:
        return files.reporting(self._folder, "write TensorBoard's events")


class _Plain:
    """Writes in this thread: TensorBoard's own thread ends with a traceback on a full disk."""

    def __init__(self, folder: Path) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.summary.writer.record_writer import RecordWriter

        seconds, rest = divmod(time.time_ns(), 10**9)
        name = f"events.out.tfevents.{seconds:010d}.{rest:09d}.{socket.gethostname()}"
        self._records = RecordWriter((folder / f"{name}.{os.getpid()}").open("wb"))
        self.write(Event(wall_time=time.time(), file_version="brain.Event:2"))

    def write(self, event: Any) -> None:
        self._records.write(event.SerializeToString())

    def flush(self) -> None:
        self._records.flush()

    def close(self) -> None:
        self._records.close()


class _Synced:
    """TensorBoard's own writer, by which `wandb.init(sync_tensorboard=True)` finds the files."""

    def __init__(self, folder: Path) -> None:
        from tensorboard.summary.writer import event_file_writer  # its class is what wandb replaces

        self._events = event_file_writer.EventFileWriter(str(folder))
        self.write, self.flush = self._events.add_event, self._events.flush
        self.close = self._events.close
