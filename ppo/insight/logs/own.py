"""Reads a run folder of this package, also one that is being written or was cut off."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from ppo.config.automatic import reopened
from ppo.core.errors import UserError
from ppo.insight.logs.log import Column, MetricsLog, from_records, to_float
from ppo.runs import files, metrics_file

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # a tenth of the time
EVALUATIONS = "evaluations.json"
MOST = 400  # records of a long run that are parsed in full


def read_records(path: Path) -> list[dict[str, Any]]:
    """The batch records of a run folder, or of a loss_metrics.json, which must then exist.

    What follows the last complete line is dropped. A folder without the file has none yet.
    """
    with _named(path):
        return metrics_file.read_records(path)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """What is wrong with a file names it: it may be one of hundreds."""
    try:
        yield
    except OSError as fault:
        raise UserError(f"{path}: cannot be read ({fault.strerror or fault})") from None
    except UserError as fault:
        if str(path) in str(fault):
            raise
        raise UserError(f"{path.parent if path.suffix else path}: {fault}") from None


@dataclass
class Thin:
    """`records` are every `every`-th of a run's `length`; `columns`, if any, are of all of them."""

    records: list[dict[str, Any]]
    columns: dict[str, Column]
    length: int
    every: int


def read_thin(file: Path, names: tuple[str, ...], most: int = MOST) -> Thin:
    """As `read_records`, thinned out where there are many.

    A run of 10,000 batches is 16 MB of JSON; parsing 200 such runs would take minutes.

    Args:
        names: fields that are read in full all the same; they must not occur in nested objects.
        most: records that are parsed.
    """
    with _named(file):
        lines = metrics_file.whole_lines(files.read_bytes(file))
    every = max(1, -(-len(lines) // most))
    chosen = sorted({*range(0, len(lines), every), len(lines) - 1} - {-1})
    found = (metrics_file.record_of(lines[i]) for i in chosen)
    records = [record for record in found if record is not None]
    whole = b"\n".join(lines) if every > 1 else b""
    columns = {name: _column(whole, name, len(lines)) for name in names}
    known = {name: column for name, column in columns.items() if column is not None}
    return Thin(records, known if len(known) == len(names) else {}, len(lines), every)


def _column(data: bytes, name: str, length: int) -> Column | None:
    """One figure of every record, read without parsing; None where the count does not fit."""
    found = re.findall(rb'"' + name.encode() + rb'": ([^,}\]]+)', data)
    if len(found) != length:
        return None
    values: NDArray[np.bytes_] = np.array([b"nan" if v == b"null" else v for v in found])
    try:
        return values.astype(np.float64)
    except ValueError:
        return None


def flatten(tree: Any, prefix: str = "") -> dict[str, Any]:
    """A nested mapping as dotted keys."""
    if not isinstance(tree, dict):
        return {}
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and value:
            flat.update(flatten(value, f"{name}."))
        else:
            flat[name] = value
    return flat


def read_settings(folder: Path, name: str = "config.yaml") -> dict[str, Any]:
    """The dotted settings of a file in a run folder, empty where it cannot be read.

    What it shows of `auto` is `auto`.
    """
    try:
        text = (folder / name).read_text(encoding="utf-8", errors="replace")
        return reopened(flatten(_LOADER(text).get_single_data()))
    except (OSError, ValueError, yaml.YAMLError, RecursionError):
        return {}


def _json(file: Path) -> Any:
    """What a file holds; None where it cannot be read."""
    try:
        return metrics_file.tolerant_loads(file.read_bytes())
    except (OSError, ValueError):
        return None


def read_summary(folder: Path) -> dict[str, Any]:
    """summary.json of a run folder, empty where it cannot be read."""
    found = _json(folder / "summary.json")
    return found if isinstance(found, dict) else {}


def read_run(path: Path) -> MetricsLog:
    """A run folder, or its loss_metrics.json, as a log."""
    folder = path if path.is_dir() else path.parent
    summary = read_summary(folder)
    log = from_records(read_records(path), read_settings(folder))
    if summary.get("status") == "failed" and len(log):
        log.events.append((log.batch(len(log) - 1), str(summary.get("reason", ""))))
    _evaluations(log, folder)
    return log


def _evaluations(log: MetricsLog, folder: Path) -> None:
    """The returns of a run's evaluations, at the batches after which they were played."""
    rows = _json(folder / EVALUATIONS)
    column = np.full(len(log), np.nan)
    for row in rows if isinstance(rows, list) else []:
        told = row if isinstance(row, dict) else {}
        finished, value = to_float(told.get("batch")), to_float(told.get("mean_return"))
        if np.isfinite(finished + value) and len(log):
            place = int(np.searchsorted(log.batches, finished - 1))  # batches count from 0
            column[min(place, len(log) - 1)] = value
    if np.isfinite(column).any():
        log.columns["played_return"] = column  # with the statistics of training, always
