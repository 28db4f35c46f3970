"""Reads TensorBoard event files; a file cut off or damaged gives what stands before the damage."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ppo.insight.logs.series import Series, collect

LONGEST_RECORD = 64 * 2**20  # bytes; a larger length field is damage, not data
TEXT_LIMIT = 1_000_000
FLOAT = 1  # the type of a tensor

Rows = dict[str, list[tuple[float, float]]]


def time_in_name(file: Path) -> float:
    """When a log was begun, in seconds: from an event file's name, else its last change."""
    found = re.search(r"tfevents\.(\d{9,11})(?:\D|$)", file.name)
    return float(found.group(1)) if found else file.stat().st_mtime


def read_event_files(files: list[Path]) -> Series:
    """Scalars and texts of the newest run in a folder, its event files merged in order of time.

    A file that starts again at the steps where the run before it started is a run of its own.
    """
    series, runs = Series(), 0
    rows: Rows = {}
    for file in sorted(files, key=time_in_name):
        part, found = _read_file(file)
        if not runs or _restarts(rows, found):
            series, rows, runs = part, found, runs + 1
            series.files = [file.name]
            continue
        for tag, pairs in found.items():
            kept = [pair for pair in rows.get(tag, ()) if pair[0] < pairs[0][0]]
            rows[tag] = kept + pairs  # as TensorBoard does: what a resumed run did again is gone
        series.texts.update(part.texts)
        series.notes += part.notes
        series.files.append(file.name)
    series.points = collect(rows)
    series.runs = runs
    return series


def _read_file(file: Path) -> tuple[Series, Rows]:
    rows: Rows = {}
    series = Series()
    try:
        for event in _events(file):
            _take(event, rows, series.texts)
    except _Damaged as damage:
        series.notes.append(f"{file.name}: {damage}; what stands before it was read")
    return series, rows


def _restarts(before: Rows, now: Rows) -> bool:
    """Whether a file's steps begin where those of the run before it began, not where they ended."""
    shared = [tag for tag in now if len(before.get(tag, ())) > 1]
    return bool(shared) and all(now[tag][0][0] <= before[tag][1][0] for tag in shared)


class _Damaged(Exception):
    pass


def _events(file: Path) -> Iterator[Any]:
    # Imported here: protobuf takes 0.15 s that a reader of run folders need not pay.
    from google.protobuf.message import DecodeError
    from tensorboard.compat.proto.event_pb2 import Event

    data = file.read_bytes()
    place = 0
    while place + 12 <= len(data):
        (length,) = struct.unpack_from("<Q", data, place)
        end = place + 12 + length
        if length > LONGEST_RECORD:
            raise _Damaged("a record of impossible length")
        if end + 4 > len(data):
            return  # being written, or cut off
        event = Event()
        try:
            event.ParseFromString(data[place + 12 : end])
        except DecodeError:
            raise _Damaged("a record that is no event") from None
        yield event
        place = end + 4


def _take(event: Any, rows: Rows, texts: dict[str, str]) -> None:
    for value in event.summary.value:
        kind, tensor = value.WhichOneof("value"), value.tensor
        numbers = [value.simple_value] if kind == "simple_value" else list(tensor.float_val)
        if tensor.dtype == FLOAT and len(tensor.tensor_content) == 4:
            numbers = [*struct.unpack("<f", tensor.tensor_content)]
        if len(numbers) == 1:
            rows.setdefault(value.tag, []).append((float(event.step), float(numbers[0])))
        elif len(tensor.string_val) == 1 and len(tensor.string_val[0]) < TEXT_LIMIT:
            texts[value.tag] = tensor.string_val[0].decode("utf-8", errors="replace")
