"""Reads CSV and JSON-lines logs: one row a batch, one column (key) a figure."""

from __future__ import annotations

import csv
import json
import re
from array import array
from pathlib import Path
from typing import Any

import numpy as np

from ppo.insight.logs.log import to_float
from ppo.insight.logs.series import Series, collect
from ppo.insight.logs.shapes import bare, last_run, pivoted, spread

STEP_NAMES = (
    "env_steps", "time/total_timesteps", "total_timesteps", "global_step", "num_env_steps",
    "timesteps_total", "num_env_steps_sampled_lifetime", "agent_steps", "TimestepsSoFar",
    "TotalEnvInteracts", "misc/total_timesteps", "TotalEnvSteps", "num_steps", "total_steps",
    "timesteps", "timestep", "_step", "step", "time/iterations", "iteration", "update", "epoch",
    "batch",
)  # fmt: skip
COUNTS = ("time/iterations", "iteration", "update", "epoch", "batch")  # the last of them
UNSURE = ("timesteps", "timestep", "_step", "step")  # steps of an environment, or of the log
FEWEST = 64  # steps that a batch has, by which lines are told from steps where the name does not
CHART = ("Wall time", "Step", "Value")
LONGEST_FIELD = 10_000_000
CONTINENTAL = re.compile(r"[-+]?([1-9]\d{0,2}(\.\d{3})+|\d+)(,\d+([eE][-+]?\d+)?)?")  # 1.234,5
THOUSANDS = re.compile(r"[-+]?[1-9]\d{0,2}(,\d{3})+(\.\d+)?")  # 1,234.5
POINT = re.compile(r"[-+]?[\d,]*\.\d+([eE][-+]?\d+)?")


def read_csv(file: Path) -> Series:
    """A CSV with a header line; lines that start with # (SB3's monitor.csv) are left out."""
    text = read_text(file).replace("\0", "")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if text and not text.endswith("\n") and len(lines) > 1:
        lines = lines[:-1]  # the last line may be half written
    csv.field_size_limit(LONGEST_FIELD)
    try:
        mark = max(",\t;", key=lines[0].count) if lines else ","  # Spinning Up has tabs
        rows = list(csv.DictReader(lines, delimiter=mark, skipinitialspace=True))
    except csv.Error as fault:
        return Series(notes=[f"{file.name}: {fault}"])
    quoted = mark == "," and '"' not in text  # else a cell may hold a comma
    return of_rows(rows if quoted else plain_rows(rows, mark))


def plain_rows(rows: list[dict[str, Any]], mark: str) -> list[dict[str, Any]]:
    """Rows of cells that `mark` parts, whose numbers have a point and no sign between thousands."""
    comma = _decimal_comma(rows, mark)
    return [{name: plain_cell(cell, comma) for name, cell in row.items()} for row in rows]


def _decimal_comma(rows: list[dict[str, Any]], mark: str) -> bool:
    """Whether the numbers of a table have decimal commas, as the first cell shows that can be read
    in one way only; where none does, they have if there is a comma and none parts the cells."""
    seen = False
    for row in rows:
        for cell in map(str.strip, filter(lambda cell: isinstance(cell, str), row.values())):
            if POINT.fullmatch(cell) and not CONTINENTAL.fullmatch(cell):
                return False
            number = "," in cell and CONTINENTAL.fullmatch(cell) is not None
            if number and not THOUSANDS.fullmatch(cell):
                return True
            seen = seen or number
    return seen and mark != ","


def plain_cell(cell: Any, comma: bool = False) -> Any:
    """A cell whose number is written as 1,234.5, or with a decimal comma as 1.234,5, as 1234.5."""
    if not isinstance(cell, str):
        return cell
    if comma and CONTINENTAL.fullmatch(cell.strip()):
        return cell.replace(".", "").replace(",", ".")
    return cell.replace(",", "") if THOUSANDS.fullmatch(cell.strip()) else cell


def read_json_lines(file: Path) -> Series:
    """One JSON object a line, where lines that are none are left out; or one array of objects (or
    of a chart's points), or one object of arrays or of numbers."""
    text = read_text(file)
    rows = _whole(text)
    for line in [] if rows else text.splitlines():
        try:
            row = json.loads(line.strip().removesuffix(","))  # a line out of an array has one
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict):
            rows.append(_plain(row))
    return of_rows(rows)


def _whole(text: str) -> list[dict[str, Any]]:
    """The rows of a file that is a single JSON value; empty where it is none."""
    try:
        tree = json.loads(text)
    except (ValueError, RecursionError):
        return []
    if isinstance(tree, list):
        chart = [row for row in tree if isinstance(row, list) and len(row) == len(CHART)]
        if chart and len(chart) == len(tree):  # one of TensorBoard's
            return [_plain(dict(zip(CHART, row, strict=True))) for row in chart]
        return [_plain(row) for row in tree if isinstance(row, dict)]
    if not isinstance(tree, dict):
        return []
    columns = {str(name): values for name, values in tree.items() if isinstance(values, list)}
    if not columns:
        return [_plain(tree)]  # wandb-summary.json: the last figures
    return list(map(_plain, spread(columns)))


def read_text(file: Path) -> str:
    """The text of a file of others: UTF-8 or UTF-16 with its mark, whatever is broken replaced."""
    data = file.read_bytes()
    wide = data[:2] in (b"\xff\xfe", b"\xfe\xff")
    return data.decode("utf-16" if wide else "utf-8-sig", errors="replace")


def read_monitors(files: list[Path]) -> Series:
    """Stable-Baselines3's monitor.csv, one or several: their episodes in the order they ended."""
    parts = [np.zeros((0, 3))]
    for file in files:
        head = re.search(r'"t_start": ([0-9.]+)', file.read_text(errors="replace")[:1000])
        begin = float(head.group(1)) if head else 0.0
        series = read_csv(file)
        if {"r", "l", "t"} <= set(series.points):
            lines = series.steps("t", "r", "l")
            whole = np.stack([series.at(name, lines) for name in ("t", "r", "l")], axis=1)
            parts.append(whole[np.isfinite(whole).all(axis=1)] + [begin, 0.0, 0.0])
    rows = np.concatenate(parts)
    rows = rows[np.lexsort(rows.T[::-1])]  # by time
    lines = np.arange(len(rows), dtype=np.float64)
    columns = zip(("t", "r", "l"), rows.T, strict=True)
    return Series({name: np.stack([lines, column], 1) for name, column in columns if len(rows)})


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """A row without lists; figures inside nested objects (RLlib's result.json) stand under their
    paths with slashes."""
    flat = {name: cell for name, cell in row.items() if not isinstance(cell, dict | list)}
    waiting = [(str(k), v) for k, v in row.items() if isinstance(v, dict)]
    while waiting:
        path, tree = waiting.pop()
        for key, value in tree.items():
            if isinstance(value, dict):
                waiting.append((f"{path}/{key}", value))
            elif isinstance(value, int | float):
                flat[f"{path}/{key}"] = value
    return flat


def _counts(axis: str, steps: list[float]) -> bool:
    """Whether an axis counts rows, updates or lines of a log, and not steps of an environment."""
    axis = axis.strip().lower()
    apart = np.diff(np.sort(steps))
    few = len(apart) > 0 and bool(np.median(apart) < FEWEST)
    return not axis or axis in COUNTS or (few and axis in UNSURE)


def is_number(cell: Any) -> bool:
    """Whether a cell holds a number, or says that it is none: nan."""
    number = to_float(cell)
    return number == number or str(cell).strip().lower() in ("nan", "-nan")


def of_rows(rows: list[dict[str, Any]]) -> Series:
    """Rows of named cells as series; the steps are those of the first known column of steps."""
    rows = pivoted(rows, STEP_NAMES)
    names = {str(name) for row in rows for name in row if isinstance(name, str)}
    plain = {bare(name): name for name in names}
    axes = [plain[bare(name)] for name in STEP_NAMES if bare(name) in plain]
    told = {name: [row[name] for row in rows if row.get(name) not in (None, "")] for name in axes}
    moving = (name for name in axes if len(rows) < 2 or len(set(told[name])) > 1)  # else a setting
    step_name = next(moving, None)
    rows, note = last_run(rows, step_name) if step_name else (rows, "")
    found: dict[str, array[float]] = {}  # step, value, step, value, ...
    for position, row in enumerate(rows):
        step = to_float(row.get(step_name)) if step_name else float(position)
        for name, value in row.items():
            if isinstance(name, str) and value not in (None, "") and is_number(value):
                found.setdefault(name, array("d")).extend((step, to_float(value)))
    points = {tag: p[np.argsort(p[:, 0], kind="stable")] for tag, p in collect(found).items()}
    series = Series(points=points)  # by step, in whichever order the rows were exported
    series.counted = _counts(step_name or "", [to_float(row.get(step_name or "")) for row in rows])
    if note:
        series.notes.append(note)
    if step_name is None and rows:
        series.notes.append("no column of steps: rows are counted")
    return series
