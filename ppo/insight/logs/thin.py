"""Reads long runs quickly: a few hundred records in full, and one column of all of them.

A run of 10,000 batches is 16 MB of JSON; parsing 200 such runs would take minutes.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ppo.insight.logs.log import Column

MOST = 400  # records of a run that are parsed in full


@dataclass
class Thin:
    """`records` are every `every`-th of a run's `length`; `columns` are of all of them."""

    records: list[dict[str, Any]]
    columns: dict[str, Column]
    length: int
    every: int


def read_thin(file: Path, names: tuple[str, ...], most: int = MOST) -> Thin:
    """Records of a loss_metrics.json, thinned out where there are many.

    `names` are read in full all the same; they must not occur inside nested objects. A last line
    that is not complete is left out.
    """
    data = file.read_bytes()
    lines = [
        line for line in data.split(b"\n") if line.startswith(b'{"') and b'"batches"' not in line
    ]
    while lines and _parse(lines[-1]) is None:
        lines.pop()
    every = max(1, -(-len(lines) // most))
    chosen = sorted({*range(0, len(lines), every), len(lines) - 1} - {-1})
    records = [record for record in (_parse(lines[i]) for i in chosen) if record is not None]
    columns = {}
    if every > 1:
        for name in names:
            column = _column(data, name, len(lines))
            if column is not None:
                columns[name] = column
    return Thin(records, columns, len(lines), every)


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line.rstrip(b", \r\0"))
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _column(data: bytes, name: str, length: int) -> Column | None:
    """One figure of every record, read without parsing; None where the count does not fit."""
    found = re.findall(rb'"' + name.encode() + rb'": ([^,}\]]+)', data)[:length]
    if len(found) != length:
        return None
    values: NDArray[np.bytes_] = np.array([b"nan" if v == b"null" else v for v in found])
    try:
        return values.astype(np.float64)
    except ValueError:
        return None
