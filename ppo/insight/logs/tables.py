"""Reads CSV and JSON-lines logs: one row a batch, one column (key) a figure."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from ppo.insight.logs.log import to_float
from ppo.insight.logs.series import Series, collect

STEP_NAMES = (
    "env_steps",
    "time/total_timesteps",
    "total_timesteps",
    "global_step",
    "num_env_steps",
    "timesteps_total",
    "step",
    "time/iterations",
    "iteration",
    "batch",
)
LONGEST_FIELD = 10_000_000


def read_csv(file: Path) -> Series:
    """A CSV with a header line; lines that start with # (SB3's monitor.csv) are left out."""
    text = file.read_text(encoding="utf-8", errors="replace").replace("\0", "")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if text and not text.endswith("\n") and len(lines) > 1:
        lines = lines[:-1]  # the last line may be half written
    csv.field_size_limit(LONGEST_FIELD)
    try:
        rows: list[dict[str, Any]] = [dict(row) for row in csv.DictReader(lines)]
    except csv.Error as fault:
        return Series(notes=[f"{file.name}: {fault}"])
    return _series(rows)


def read_json_lines(file: Path) -> Series:
    """One JSON object a line; lines that are none are left out."""
    rows = []
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict):
            rows.append(row)
    return _series(rows)


def _series(rows: list[dict[str, Any]]) -> Series:
    names = {str(name) for row in rows for name in row if isinstance(name, str)}
    step_name = next((name for name in STEP_NAMES if name in names), None)
    found: dict[str, list[tuple[float, float]]] = {}
    for position, row in enumerate(rows):
        step = to_float(row.get(step_name)) if step_name else float(position)
        for name, value in row.items():
            if isinstance(name, str) and value not in (None, ""):
                number = to_float(value)
                if number == number or str(value).strip().lower() in ("nan", "-nan"):
                    found.setdefault(name, []).append((step, number))
    series = Series(points=collect(found))
    if step_name is None and rows:
        series.notes.append("no column of steps: rows are counted")
    return series
