"""What a reader makes of any log: columns of floats under the contract's names."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ppo.core.metrics import METRICS

Column = NDArray[np.float64]
UNKNOWN = "unknown"  # the writer of a log that is read by the names of its figures
UNSURE_UNITS = (UNKNOWN, "brax", "torchrl", "sample-factory")  # writers whose value loss has none


# Tags of a curriculum: ML-Agents, Isaac Lab and legged_gym, and what people call their own.
LEVELS = r"(?i)(^|/)lesson|(^|/)curriculum|terrain_level|(^|/)(task_)?(difficulty|level)$"


@dataclass
class MetricsLog:
    """A run in the form that rules read; row i of every column is batch `batches[i]`.

    `columns` hold NaN where a value is missing. `nonfinite` marks the rows where the log itself
    said NaN or infinity, which is another thing than saying nothing. `settings` are dotted
    config keys, as far as the log tells them. Units: those of the contract; where a writer's
    figure has another unit, it is converted or left out and `notes` say so.
    """

    columns: dict[str, Column] = field(default_factory=dict)
    batches: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    writer: str = UNKNOWN
    settings: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    nonfinite: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    components: dict[str, dict[str, Column]] = field(default_factory=dict)
    events: list[tuple[int, str]] = field(default_factory=list)
    algorithm: str = "PPO"  # or what the log shows to be something else: A2C, DQN
    source: str = ""  # which file or folder was read
    unknown_tags: list[str] = field(default_factory=list)
    per_row: float = 1.0  # updates of the policy that a row stands for

    def __len__(self) -> int:
        return len(self.batches)

    def get(self, name: str) -> Column:
        """The column, or NaN in every row where the log has none of that name."""
        column = self.columns.get(name)
        return np.full(len(self), np.nan) if column is None else column

    def returns(self) -> Column:
        """The mean episode returns of the batches that have one."""
        column = self.get("mean_episode_return")
        return column[np.isfinite(column)]

    def has(self, *names: str) -> bool:
        """Whether every named column holds at least one finite value."""
        return all(
            name in self.columns and bool(np.isfinite(self.columns[name]).any()) for name in names
        )

    def setting(self, key: str, default: Any = None) -> Any:
        """The value of a dotted config key, where the log has it."""
        return self.settings.get(key, default)

    def number(self, key: str) -> float:
        """A numeric setting, or NaN."""
        value = self.settings.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return float("nan")
        return float(value)

    def steps(self) -> Column:
        """Steps of the environment until each row; the batches' numbers where none are known."""
        known = self.has("env_steps")
        return self.get("env_steps") if known else self.batches.astype(np.float64)

    def updates(self) -> float:
        """Updates of the policy over the log."""
        return self.per_row * len(self)

    def batch_steps(self) -> Column:
        """Steps of the environment in a batch, row by row."""
        return np.diff(self.get("env_steps"), prepend=0.0) / self.per_row

    def batch(self, row: int) -> int:
        """The batch number of a row."""
        return int(self.batches[row])


def to_float(value: Any) -> float:
    """A float of whatever a log holds: NaN for what is not a number."""
    if not isinstance(value, (float, int, str)):  # a union would be made anew in each call
        return float("nan")
    try:
        return float(value)
    except OverflowError:
        return float("inf")
    except ValueError:
        return float("nan")


def _floats(rows: list[list[Any]]) -> Column:
    """`to_float` of each entry, [rows, names]; of numbers and None, the most frequent, at once."""
    with contextlib.suppress(TypeError, ValueError, OverflowError):
        found = np.array(rows, dtype=np.float64)
        if found.ndim == 2:
            return found
    return np.array([[to_float(value) for value in row] for row in rows])


def from_records(
    records: list[dict[str, Any]], settings: dict[str, Any] | None = None, writer: str = "ppo"
) -> MetricsLog:
    """Our own batch records as a log.

    Records with a repeated batch number (a resumed run) keep the newest.
    """
    by_batch: dict[int, dict[str, Any]] = {}
    for position, record in enumerate(records):
        if isinstance(record, dict):
            number = to_float(record.get("batch", position))
            sound = np.isfinite(number) and abs(number) < 2**53
            by_batch[int(number) if sound else position] = record
    batches = sorted(by_batch)
    rows = [by_batch[batch] for batch in batches]
    log = MetricsLog(
        batches=np.asarray(batches, dtype=np.int64), writer=writer, settings=dict(settings or {})
    )
    names = [*({name for row in rows for name in row} - {"components", "events", "batch"})]
    found = _floats([[row.get(name) for name in names] for row in rows])
    table = np.ascontiguousarray(found.reshape(len(rows), len(names)).T)
    infinite = np.isinf(table)
    log.nonfinite |= zip(names, infinite, strict=True)
    log.columns |= zip(names, np.where(infinite, np.nan, table), strict=True)
    for name in (metric.name for metric in METRICS if metric.always):
        if name in log.columns:
            log.nonfinite[name] |= np.array([_is_lost(row, name) for row in rows], dtype=bool)
    log.components = _components(rows)
    for batch, row in zip(batches, rows, strict=True):
        told = row.get("events")
        log.events += [(batch, str(event)) for event in (told if isinstance(told, list) else [])]
    derive(log)
    return log


def _is_lost(row: dict[str, Any], name: str) -> bool:
    """Whether a record says that a figure was no number."""
    value = row.get(name, 0.0)
    return value is None or (isinstance(value, float) and value != value)


def _components(rows: list[dict[str, Any]]) -> dict[str, dict[str, Column]]:
    found: dict[str, dict[str, Column]] = {}
    for index, row in enumerate(rows):
        components = row.get("components")
        if not isinstance(components, dict):
            continue
        for name, figures in components.items():
            if not isinstance(figures, dict):
                continue
            table = found.setdefault(str(name), {})
            for key, value in figures.items():
                column = table.setdefault(str(key), np.full(len(rows), np.nan))
                column[index] = to_float(value)
    return found


def derive(log: MetricsLog) -> None:
    """Adds columns that several rules read and that follow from others."""
    levels = [column for name, column in log.columns.items() if re.search(LEVELS, name)]
    if levels and "task_level" not in log.columns:  # custom/, info/: of a callback, an environment
        log.columns["task_level"] = np.sum(levels, axis=0)
    if "value_rmse" not in log.columns and log.has("error_over_std", "return_std"):
        with np.errstate(over="ignore"):
            log.columns["value_rmse"] = log.get("error_over_std") * log.get("return_std")
    if "error_over_std" not in log.columns and log.has("normalized_value_loss"):
        log.columns["error_over_std"] = np.sqrt(np.abs(log.get("normalized_value_loss")))
