"""Reads what a trainer prints: boxes of names and values, or lines, also among other text."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ppo.insight.logs.printed import read_printed
from ppo.insight.logs.series import Series
from ppo.insight.logs.tables import is_number, of_rows, plain_cell, read_text

SUFFIXES = (".txt", ".log", ".out", ".md")
CELLS = re.compile(r"^[\s>]*\|([^|]*)\|([^|]*)\|\s*$")  # a quotation mark of a mail may be in front
FIGURES = 2  # in a box, at least


def read_console(file: Path) -> Series | None:
    """The boxes of a text file as a log, else its lines of figures; None where it has neither."""
    text = read_text(file)
    rows = boxes(text)
    return of_rows(rows) if rows else read_printed(text)


def boxes(text: str) -> list[dict[str, Any]]:
    """One row for each box that Stable-Baselines3, Baselines or Spinning Up printed.

    A line `| rollout/ | |` is the folder of the indented names below it. Text between the boxes
    is left out, and empty lines within one (pasted as Markdown); so is a box that is cut off so
    early that hardly a figure is left.
    """
    rows: list[dict[str, Any]] = []
    row: dict[str, Any] = {}
    folder = ""
    lines = text.splitlines()
    for number, line in enumerate([*lines, ""]):
        cells = CELLS.match(line)
        if cells is None and not line.strip(" >\t") and row and number < len(lines):
            continue
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
            name = f"{folder}{name}" if indented else name
            if name in row:
                rows, row = [*rows, row], {}
            row[name] = plain_cell(value)
    return rows
