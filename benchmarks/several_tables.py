"""The tables of several_losses.py: benchmarks/results/several_<case>.json and .md."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

RESULTS = Path(__file__).parent / "results"
QUIET = ["logging.tensorboard=false", "logging.episodes=false", "logging.doctor=false"]


def save(case: str, title: str, header: list[str], rows: list[list[Any]], **facts: Any) -> None:
    """Writes several_<case>.json and .md, and prints the table."""
    RESULTS.mkdir(exist_ok=True)
    content = {"title": title, "header": header, "rows": rows, "torch": torch.__version__, **facts}
    path = RESULTS / f"several_{case}.json"
    path.write_text(json.dumps(content, indent=1) + "\n")
    lines = [f"# {title}", "", f"`python benchmarks/several_losses.py {case}`", ""]
    lines += ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    lines += ["| " + " | ".join(shown(cell) for cell in row) + " |" for row in rows]
    notes = [f"{name.replace('_', ' ')}: {shown(fact)}  " for name, fact in facts.items()]
    lines += ["", *notes]
    path.with_suffix(".md").write_text("\n".join(lines).rstrip() + "\n")
    print("\n".join(lines), flush=True)


def replace_row(case: str, row: list[Any]) -> None:
    """Replaces a row of the saved table by a new measurement."""
    content = json.loads((RESULTS / f"several_{case}.json").read_text())
    rows = [row if old[0] == row[0] else old for old in content.pop("rows")]
    del content["torch"]
    save(case, content.pop("title"), content.pop("header"), rows, **content)


def shown(cell: Any) -> str:
    if cell is None:
        return "-"
    if isinstance(cell, dict):
        return ", ".join(f"{name.replace('_', ' ')} {shown(part)}" for name, part in cell.items())
    if isinstance(cell, float):
        return f"{cell:,.0f}" if abs(cell) >= 1000 else f"{cell:.4g}"
    return str(cell)
