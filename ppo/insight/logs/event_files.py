"""Reads TensorBoard event files; a file cut off or damaged gives what stands before the damage."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ppo.insight.logs.series import Series, collect

LONGEST_RECORD = 64 * 2**20  # bytes; a larger length field is damage, not data
TEXT_LIMIT = 1_000_000


def read_event_files(files: list[Path]) -> Series:
    """All scalars and texts of the event files of one run, merged in the order of the files."""
    rows: dict[str, list[tuple[float, float]]] = {}
    series = Series()
    for file in files:
        try:
            for event in _events(file):
                _take(event, rows, series.texts)
        except _Damaged as damage:
            series.notes.append(f"{file.name}: {damage}; what stands before it was read")
    series.points = collect(rows)
    return series


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


def _take(event: Any, rows: dict[str, list[tuple[float, float]]], texts: dict[str, str]) -> None:
    for value in event.summary.value:
        kind = value.WhichOneof("value")
        if kind == "simple_value":
            rows.setdefault(value.tag, []).append((float(event.step), float(value.simple_value)))
        elif kind == "tensor":
            tensor = value.tensor
            if len(tensor.float_val) == 1:
                rows.setdefault(value.tag, []).append(
                    (float(event.step), float(tensor.float_val[0]))
                )
            elif tensor.dtype == 1 and len(tensor.tensor_content) == 4:
                (number,) = struct.unpack("<f", tensor.tensor_content)
                rows.setdefault(value.tag, []).append((float(event.step), number))
            elif len(tensor.string_val) == 1 and len(tensor.string_val[0]) < TEXT_LIMIT:
                texts[value.tag] = tensor.string_val[0].decode("utf-8", errors="replace")
