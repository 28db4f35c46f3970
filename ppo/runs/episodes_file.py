"""episodes.csv: one line for each finished episode, appended, cut on resume, mended when torn."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ppo.runs import files
from ppo.runs.metrics_file import finite

NAME = "episodes.csv"


def _text(rows: Sequence[Sequence[Any]]) -> bytes:
    buffer = io.StringIO()
    # Missing and non-finite values are left empty: every reader of CSV takes that.
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue().encode()


def _split(data: bytes) -> tuple[list[str], list[tuple[bytes, list[str]]]]:
    """The columns and the intact rows: raw line and values. What follows a torn line is dropped."""
    lines = data.split(b"\n")[:-1]
    rows: list[tuple[bytes, list[str]]] = []
    columns: list[str] = []
    for number, line in enumerate(lines):
        try:
            values = next(csv.reader([line.decode()]), [])
            if number == 0:
                columns = values
                continue
            if len(values) != len(columns):
                break
            int(values[0])
        except (ValueError, csv.Error):
            break
        rows.append((line, values))
    return columns, rows


class EpisodesLog:
    """The writer. The first column is `batch`, the number of the record that counts the episode.

    Methods raise OSError; lines that were complete before stay so.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self._fd = -1
        self._end = 0
        self._columns: list[str] = []

    def append(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add episodes; all have the keys of the first one ever, `batch` first."""
        if not rows:
            return
        if self._fd < 0:
            self.open(list(rows[0]))
        assert all(list(row) == self._columns for row in rows), "episodes.csv: other columns"
        data = _text([[finite(value) for value in row.values()] for row in rows])
        try:
            files.write_all(self._fd, data, self._end)
        except OSError:
            self.release()  # the next call cuts what was half written
            raise
        self._end += len(data)

    def open(self, columns: list[str] | None = None, num_batches: int | None = None) -> None:
        """Cut to the intact rows of the first batches; with `columns`, be ready to append."""
        self.release()
        old = files.read_bytes(self.path) if self.path.exists() else b""
        found, rows = _split(old)
        keep = [line for line, row in rows if num_batches is None or int(row[0]) < num_batches]
        if columns and (not found or not keep):
            found = columns
        if not found:
            return
        assert columns is None or columns == found, f"episodes.csv has the columns {found}"
        new = b"".join(line + b"\n" for line in [_text([found]).rstrip(b"\n"), *keep])
        if new != old:
            files.atomic_write(self.path, new)
        if columns:
            assert columns[0] == "batch", "episodes.csv: the first column is batch"
            self._fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
            self._end, self._columns = len(new), columns

    def rows(self) -> list[dict[str, str]]:
        """Every intact row, as text."""
        try:
            columns, rows = _split(files.read_bytes(self.path))
        except FileNotFoundError:
            return []
        return [dict(zip(columns, values, strict=True)) for _, values in rows]

    def sync(self) -> None:
        """Bring every row so far to the disk."""
        if self._fd >= 0:
            os.fsync(self._fd)

    def release(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1
