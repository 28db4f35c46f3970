"""Reads a run folder of this package, also one that is being written or was cut off."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from ppo.insight.logs.log import MetricsLog, from_records


def read_records(path: Path) -> list[dict[str, Any]]:
    """The batch records of a loss_metrics.json; what follows the last complete line is dropped."""
    file = path / "loss_metrics.json" if path.is_dir() else path
    text = file.read_bytes().decode("utf-8", errors="replace")
    records = []
    for line in text.splitlines():
        line = line.strip().rstrip(",")
        if not line.startswith("{"):
            continue
        record = _parse(line)
        if isinstance(record, dict) and "schema_version" not in record:
            records.append(record)
    return records if records else _whole(text)


def _parse(text: str) -> Any:
    # RecursionError: a foreign file may nest deeper than Python likes.
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _whole(text: str) -> list[dict[str, Any]]:
    """The records of a file that somebody has pretty-printed."""
    document = _parse(text)
    batches = document.get("batches") if isinstance(document, dict) else document
    return [r for r in batches if isinstance(r, dict)] if isinstance(batches, list) else []


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


def read_settings(folder: Path) -> dict[str, Any]:
    """The dotted settings of a run folder's config.yaml, empty where it cannot be read."""
    try:
        text = (folder / "config.yaml").read_text(encoding="utf-8", errors="replace")
        return flatten(yaml.safe_load(text))
    except (OSError, ValueError, yaml.YAMLError, RecursionError):
        return {}


def read_summary(folder: Path) -> dict[str, Any]:
    """summary.json of a run folder, empty where it cannot be read."""
    try:
        found = _parse((folder / "summary.json").read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return {}
    return found if isinstance(found, dict) else {}


def read_run(path: Path) -> MetricsLog:
    """A run folder, or its loss_metrics.json, as a log."""
    folder = path if path.is_dir() else path.parent
    status = str(read_summary(folder).get("status", ""))
    return from_records(read_records(path), read_settings(folder), "ppo", status)
