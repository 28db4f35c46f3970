"""Runs as one table for pandas: a row per batch."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ppo.config.automatic import as_asked
from ppo.core.errors import UserError
from ppo.core.program import install
from ppo.insight.comparison.groups import differences
from ppo.insight.logs import OWN_LOG, runs_in
from ppo.insight.logs.own import flatten, read_records, read_settings
from ppo.runs.names import results_folder

if TYPE_CHECKING:
    from pandas import DataFrame

SAME = "all"  # the group where the runs differ in nothing but their seeds
UNKNOWN = "settings unknown"  # that of runs whose config.yaml cannot be read


def read_runs(results: str | os.PathLike[str] = "training_results") -> DataFrame:
    """Every batch of every run below a folder, as rows of a pandas DataFrame.

    Args:
        results: a folder of runs, an experiment's folder, or a single run's.

    Returns:
        Columns: run (its name, with folders where it lies deeper), group (the settings that tell
        it from the other runs, seeds aside), seed, and the fields of the batch records; those of
        reward components as `components.NAME.loss` and so on. Not a finite number: NaN.

    Raises:
        UserError: there is no run, or pandas is missing.
    """
    try:
        from pandas import DataFrame
    except ImportError:
        raise UserError(f'read_runs needs the extra "pandas": {install("pandas")}') from None
    root = results_folder(results)
    runs = runs_in(root)
    if not (runs[0] / OWN_LOG).exists():
        raise UserError(f"read_runs: {results}: no run in it")
    settings = [as_asked(read_settings(run)) for run in runs]
    rows: list[dict[str, Any]] = []
    for run, group, own in zip(runs, _groups(settings), settings, strict=True):
        place = run.relative_to(root).as_posix() if run != root else run.name
        head = {"run": place, "group": group, "seed": own.get("system.seed")}
        rows += [head | _row(record) for record in read_records(run / OWN_LOG)]
    return DataFrame(rows)


def _groups(settings: list[dict[str, Any]]) -> list[str]:
    changed = differences(settings)
    return [
        ", ".join(f"{key}={values[index]}" for key, values in changed.items()) or SAME
        if own
        else UNKNOWN
        for index, own in enumerate(settings)
    ]


def _row(record: dict[str, Any]) -> dict[str, Any]:
    nan = float("nan")
    flat = flatten({"components": record.get("components") or {}})
    flat = {name: nan if value is None else value for name, value in flat.items() if value != {}}
    rest = {k: nan if v is None else v for k, v in record.items() if k != "components"}
    return rest | {"events": "; ".join(record.get("events") or [])} | flat
