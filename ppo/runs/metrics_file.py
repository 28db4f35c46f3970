"""loss_metrics.json: one JSON document, valid at every instant, at the same cost for every batch.

JSON cannot be appended to, and a process killed inside one write leaves half of it, so the file
under the public name is never written. Two copies take turns: the private one gets the lines it
lacks in one write, then takes over the public name by a hard link and a rename.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ppo.core.errors import UserError
from ppo.runs import files

NAME = "loss_metrics.json"
SCHEMA_VERSION = 1
COPIES = (".metrics.a", ".metrics.b")
EMPTY_END = b"]}\n"
END = b"\n]}\n"
SEPARATOR = b",\n"


def finite(value: Any) -> Any:
    """The same value as plain JSON types, with null for every number that is not finite."""
    if isinstance(value, Mapping):
        return {str(key): finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [finite(entry) for entry in value]
    if hasattr(value, "tolist"):  # numpy and torch scalars and arrays
        return finite(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def to_line(record: Mapping[str, Any]) -> bytes:
    """One record as one line of JSON; floats keep every bit."""
    try:
        return json.dumps(record, allow_nan=False).encode()
    except (TypeError, ValueError):  # a value that is not finite, or a numpy number
        return json.dumps(finite(record), allow_nan=False).encode()


def strict_loads(text: bytes | str) -> Any:
    """Parse JSON as the standard has it: NaN and Infinity are refused.

    Raises:
        ValueError: not JSON, or nested deeper than the parser goes.
    """

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not JSON")

    try:
        return json.loads(text, parse_constant=refuse)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _header(run: str) -> bytes:
    fields = json.dumps({"schema_version": SCHEMA_VERSION, "run": run, "batches": []})
    return fields.removesuffix("]}").encode() + b"\n"


def _document(run: str, lines: Sequence[bytes]) -> bytes:
    return _header(run) + SEPARATOR.join(lines) + (END if lines else EMPTY_END)


def complete_lines(data: bytes) -> list[bytes]:
    """The record lines of a document up to the first torn one.

    A power failure may leave half a line or a stretch of zeros, and a reader slower than one batch
    may see a copy that is being written: nothing from there on counts.

    Raises:
        UserError: the document was written by a later version.
    """
    head, *body = data.split(b"\n")
    try:
        header = strict_loads(head + b"]}")
        written_by_us = isinstance(header, dict) and "batches" in header
    except ValueError:
        written_by_us = False
    if not written_by_us:
        return _reformatted(data)
    _check_schema(header)
    lines = []
    for line in body:
        text = line.removesuffix(b",")
        whole = text.rstrip(b"\0")  # zeros in place of the line break that ended a whole record
        try:
            if not isinstance(strict_loads(whole), dict):
                break
        except ValueError:
            break
        lines.append(whole)
        if whole != text:
            break
    return lines


def _reformatted(data: bytes) -> list[bytes]:
    """The records of a document that someone laid out anew, for example with jq."""
    try:
        document = strict_loads(data)
    except ValueError:
        return []
    if not isinstance(document, dict):
        return []
    _check_schema(document)
    records = document.get("batches")
    if not isinstance(records, list):
        return []
    return [to_line(record) for record in records if isinstance(record, dict)]


def _check_schema(document: dict[str, Any]) -> None:
    version = document.get("schema_version")
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise UserError(
            f"{NAME}: schema_version {version} was written by a later version of this package "
            f"(this one reads up to {SCHEMA_VERSION}); upgrade it"
        )


def read_lines(folder: Path) -> list[bytes]:
    """The complete record lines of a run folder; none where it has no metrics yet."""
    try:
        return complete_lines(files.read_bytes(folder / NAME))
    except FileNotFoundError:
        return []


def read_records(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The batch records of a run folder or of a metrics file, oldest first.

    Safe at every moment, also while a trainer writes: what is not a complete line is left out.

    Raises:
        UserError: there is no such file or folder, it cannot be read, or it is of a later version.
    """
    path = Path(path)
    try:
        lines = read_lines(path) if path.is_dir() else complete_lines(files.read_bytes(path))
    except OSError as error:
        why = files.reason(error)
        raise UserError(f"{files.shown(path)}: cannot read metrics: {why}") from error
    return [strict_loads(line) for line in lines]


@dataclass
class _Copy:
    """One of the two documents: where the next record goes and whether it is the first."""

    path: Path
    fd: int
    end: int
    empty: bool

    def add(self, lines: Sequence[bytes]) -> None:
        text = (b"" if self.empty else SEPARATOR) + SEPARATOR.join(lines)
        files.write_all(self.fd, text + END, self.end)
        self.end += len(text)
        self.empty = False


class MetricsLog:
    """The writer. After an error the next call starts again from the public file.

    Methods raise OSError; the public file is then as it was after the last call that succeeded.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.public = folder / NAME
        self.has_links = True  # False: in place, torn by a kill inside the write, mended on opening
        self._copies: list[_Copy] = []  # private first, public last; empty: not open
        self._behind: list[bytes] = []  # lines that the private copy lacks

    def open(self, num_batches: int | None = None) -> None:
        """Write both copies anew from the public file, cut to its first records: once, O(n)."""
        lines = read_lines(self.folder)[:num_batches]
        self.release()
        try:
            self._rebuild(lines)
        except OSError:
            self.release()
            raise

    def append(self, line: bytes) -> None:
        """Add one record: one write, one link, one rename."""
        if not self._copies:
            self.open()
        private = self._copies[0]
        try:
            private.add([*self._behind, line])
            if self.has_links:
                files.link_over(private.path, self.public)
        except OSError:
            self.release()
            raise
        self._copies.reverse()
        self._behind = [line] if self.has_links else []

    def sync(self) -> None:
        """Bring every record so far to the disk, in both copies.

        Both, since after a power failure the public name may be either one's: the rename is newer
        than the last sync of the folder, and the content behind it may be lost.
        """
        if not self._copies:
            return
        try:
            if self._behind:
                self._copies[0].add(self._behind)
                self._behind = []
            for copy in self._copies:
                os.fsync(copy.fd)
            files.fsync_folder(self.folder)
        except OSError:
            self.release()
            raise

    def close(self) -> None:
        """Sync, and leave one file in place of two: the run has ended."""
        if self._copies:
            self.sync()
            self.release()
            for name in COPIES:
                files.remove(self.folder / name)

    def release(self) -> None:
        """Close the files without writing anything."""
        for copy in self._copies:
            os.close(copy.fd)
        self._copies, self._behind = [], []

    def _rebuild(self, lines: Sequence[bytes]) -> None:
        document = _document(self.folder.name, lines)
        end = len(document) - len(END if lines else EMPTY_END)
        first, second = (self.folder / name for name in COPIES)
        files.atomic_write(first, document)
        try:
            files.link_over(first, self.public)
        except OSError as error:
            if error.errno not in files.NO_HARD_LINKS:
                raise
            self.has_links = False
            files.atomic_write(self.public, document)
            files.remove(first)
            paths = [self.public]
        else:
            files.atomic_write(second, document)
            paths = [second, first]
        for path in paths:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            self._copies.append(_Copy(path, fd, end, empty=not lines))
        files.fsync_folder(self.folder)
