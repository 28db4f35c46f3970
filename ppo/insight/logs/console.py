"""Reads what a trainer prints: boxes of names and values, also pasted among other text."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ppo.insight.logs.series import Series
from ppo.insight.logs.tables import is_number, of_rows, plain_cell, read_text

SUFFIXES = (".txt", ".log", ".out", ".md")
CELLS = re.compile(r"^[\s>]*\|([^|]*)\|([^|]*)\|\s*$")  # a quotation mark of a mail may be in front
FIGURES = 2  # in a box, at least


def read_console(file: Path) -> Series | None:
    """The boxes of a text file as a log; None where it has none."""
    rows = boxes(read_text(file))
    return of_rows(rows) if rows else None


def boxes(text: str) -> list[dict[str, Any]]:
    """One row for each box that Stable-Baselines3, Baselines or Spinning Up printed.

    A line `| rollout/ | |` is the folder of the indented names below it. Text between the boxes
    is left out; so is a box that is cut off so early that hardly a figure is left.
    """
    rows: list[dict[str, Any]] = []
    row: dict[str, Any] = {}
    folder = ""
    for line in [*text.splitlines(), ""]:
        cells = CELLS.match(line)
        if cells is None:
            if sum(map(is_number, row.values())) >= FIGURES:
                rows.append(row)
            row, folder = {}, ""
            continue
        name, value = cells[1].strip(), cells[2].strip()
        if not value and name.endswith("/"):
            folder = name
        elif name and value and not set(name) <= set("-: "):
            indented = len(cells[1]) - len(cells[1].lstrip()) > 1
            row[f"{folder}{name}" if indented else name] = plain_cell(value, ",")
    return rows
