"""loss_metrics.json: one JSON document, valid at every instant, at the same cost for every batch.

JSON cannot be appended to, and a process killed inside one write leaves half of it, so the file
under the public name is never written. Two copies take turns: the private one gets the lines it
lacks in one write, then takes over the public name by a hard link and a rename.
"""

from __future__ import annotations

import functools
import itertools
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
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
TAIL = 8192  # bytes at the end of a document that mostly hold its last record


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


def tolerant_loads(text: bytes | str) -> Any:
    """As `strict_loads`, but NaN and Infinity are numbers: other programs write them.

    Raises:
        ValueError: not JSON, or nested deeper than the parser goes.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


Loads = Callable[[bytes], Any]


def _document(run: str, lines: Sequence[bytes]) -> bytes:
    fields = json.dumps({"schema_version": SCHEMA_VERSION, "run": run, "batches": []})
    header = fields.removesuffix("]}").encode() + b"\n"
    return header + SEPARATOR.join(lines) + (END if lines else EMPTY_END)


def _records(data: bytes, loads: Loads) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Each record line of a document with its record, up to the first torn line.

    A power failure may leave half a line or a stretch of zeros, and a reader slower than one batch
    may see a copy that is being written: nothing from there on counts.

    Raises:
        UserError: the document was written by a later version.
    """
    body = _body(data)
    if body is None:
        yield from _reformatted(data, loads)
        return
    for line in body:
        text = _text(line)
        whole = text.rstrip(b"\0")  # zeros in place of the line break that ended a whole record
        record = record_of(whole, loads)
        if record is None:
            return
        yield whole, record
        if whole != text:
            return


def _text(line: bytes) -> bytes:
    return line.strip().removesuffix(b",")


def record_of(text: bytes, loads: Loads = tolerant_loads) -> dict[str, Any] | None:
    """What a line holds; None for a torn one, and for the end of the document."""
    try:
        record = loads(text)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


def _body(data: bytes) -> list[bytes] | None:
    """The lines below the header; None where someone laid the document out anew."""
    head, *body = data.split(b"\n")
    try:
        header = strict_loads(head.rstrip() + b"]}")
    except ValueError:
        return None
    if not isinstance(header, dict) or "batches" not in header:
        return None
    _check_schema(header)
    return body


def _reformatted(data: bytes, loads: Loads) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """The records of a document that someone laid out anew, for example with jq; or bare lines."""
    try:
        document = loads(data)
    except ValueError:
        document = list(map(functools.partial(record_of, loads=loads), data.splitlines()))
        document = list(itertools.takewhile(lambda record: record is not None, document))
    if isinstance(document, dict):
        _check_schema(document)
        document = document.get("batches")
    for record in document if isinstance(document, list) else []:
        if isinstance(record, dict):
            yield to_line(record), record


def complete_lines(data: bytes) -> list[bytes]:
    """The record lines of a document up to the first torn one.

    Raises:
        UserError: the document was written by a later version.
    """
    return [line for line, _ in _records(data, strict_loads)]


def whole_lines(data: bytes) -> list[bytes]:
    """As `complete_lines`, at the cost of parsing one line: for documents of many megabytes.

    The others are taken for whole by their braces; what tears a line leaves none behind it.
    """
    body = _body(data)
    if body is None:
        return [line for line, _ in _reformatted(data, tolerant_loads)]
    texts = (_text(line).rstrip(b"\0") for line in body)
    lines = list(itertools.takewhile(lambda t: t[:1] == b"{" and t[-1:] == b"}", texts))
    while lines and record_of(lines[-1]) is None:
        lines.pop()
    return lines


def _check_schema(document: dict[str, Any]) -> None:
    version = document.get("schema_version")
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise UserError(
            f"{NAME}: schema_version {version} was written by a later version of this package "
            f"(this one reads up to {SCHEMA_VERSION}); upgrade it"
        )


def read_lines(folder: Path) -> list[bytes]:
    """The complete record lines of a run folder; none where it has no metrics yet."""
    return complete_lines(_read(folder))


def _read(folder: Path) -> bytes:
    """The content of a run folder's document; nothing where there is none yet."""
    try:
        return files.read_bytes(folder / NAME)
    except FileNotFoundError:
        return b""


def read_records(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The batch records of a run folder or of a metrics file, oldest first.

    Safe at every moment, also while a trainer writes: what is not a complete line is left out.

    Raises:
        UserError: there is no such file or folder, it cannot be read, or it is of a later version.
    """
    path = Path(path)
    try:
        data = _read(path) if path.is_dir() else files.read_bytes(path)
    except OSError as error:
        why = files.reason(error)
        raise UserError(f"{files.shown(path)}: cannot read metrics: {why}") from error
    return [record for _, record in _records(data, tolerant_loads)]


def last_record(folder: Path) -> dict[str, Any] | None:
    """The newest complete record of a run folder, read from the end of its file; None without one.

    Cheap, for who watches many runs: a record longer than TAIL costs a reading of all.
    """
    try:
        with os.fdopen(files.open_regular(folder / NAME), "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - TAIL, 0))
            first, *lines = file.read().split(b"\n")  # the first is the header, or half a line
    except OSError:
        return None
    records = (record_of(_text(line).rstrip(b"\0")) for line in lines)
    whole = list(itertools.takewhile(lambda record: record is not None, records))
    whole = whole or list(read_records(folder))
    return whole[-1] if whole else None


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
