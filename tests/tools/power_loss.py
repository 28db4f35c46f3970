"""What a disk may hold after a power failure, built from a recording of file operations.

Model: a folder's changes reach the disk in their order, at the latest when the folder is synced; a
file's bytes reach it in any order, at the latest when the file is synced. A write that was not
synced may be there, missing, there by half, or zeros (the length reached the disk, the data not).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fault_shim import Operation

FATES = ("kept", "lost", "half", "zeros")


@dataclass
class Inode:
    """A file's writes, each with the number of its operation, and when it was synced."""

    writes: list[tuple[int, int, bytes]] = field(default_factory=list)
    synced: list[int] = field(default_factory=list)

    def unsynced(self, now: int) -> list[int]:
        last = max((number for number in self.synced if number < now), default=-1)
        return [number for number, _, _ in self.writes if last < number < now]

    def content(self, now: int, fates: dict[int, str]) -> bytes:
        """The bytes on the disk where operation `now` was the first that did not happen."""
        content = bytearray()
        events = [(number, offset, data) for number, offset, data in self.writes if number < now]
        for number, offset, data in events:
            fate = fates.get(number, "kept")
            if fate == "lost":
                continue
            if fate == "half":
                data = data[: len(data) // 2]
            if fate == "zeros":
                data = bytes(len(data))
            content.extend(bytes(max(0, offset - len(content))))
            content[offset : offset + len(data)] = data
        return bytes(content)


@dataclass
class Change:
    """One change of a folder: `name` now means `inode` (None: gone, -1: a folder)."""

    number: int
    name: str
    inode: int | None


@dataclass
class Recording:
    """The operations of a run as inodes and folder changes."""

    root: str
    length: int
    inodes: list[Inode] = field(default_factory=list)
    changes: dict[str, list[Change]] = field(default_factory=dict)
    synced: dict[str, list[int]] = field(default_factory=dict)

    def pending(self, folder: str, now: int) -> int:
        """How many of a folder's changes may still be lost."""
        last = max((n for n in self.synced.get(folder, []) if n < now), default=-1)
        return sum(last < change.number < now for change in self.changes.get(folder, []))

    def states(self, now: int) -> Iterator[tuple[dict[str, int], dict[int, str]]]:
        """Ways for the power to fail before operation `now`: changes lost, fates of writes."""
        open_writes = [n for inode in self.inodes for n in inode.unsynced(now)]
        fates: list[dict[int, str]] = [dict.fromkeys(open_writes, fate) for fate in FATES]
        for number in open_writes:
            fates += [{number: fate} for fate in FATES[1:]]
        if not open_writes:
            fates = [{}]
        folders = {f: self.pending(f, now) for f in self.changes if self.pending(f, now)}
        lags: list[dict[str, int]] = [{}, folders] if folders else [{}]
        lags += [{folder: lost} for folder, count in folders.items() for lost in range(1, count)]
        for lag in lags:
            for fate in fates:
                yield lag, fate

    def build(self, target: Path, now: int, lag: dict[str, int], fates: dict[int, str]) -> None:
        """Write that disk's content below `target`."""
        self._build(self.root, target, now, lag, fates)

    def _build(
        self, folder: str, target: Path, now: int, lag: dict[str, int], fates: dict[int, str]
    ) -> None:
        target.mkdir(exist_ok=True)
        changes = [change for change in self.changes.get(folder, []) if change.number < now]
        names: dict[str, int] = {}
        for change in changes[: len(changes) - lag.get(folder, 0)]:
            if change.inode is None:
                names.pop(change.name, None)
            else:
                names[change.name] = change.inode
        linked: dict[int, Path] = {}
        for name, inode in names.items():
            if inode == -1:
                self._build(os.path.join(folder, name), target / name, now, lag, fates)
            elif inode in linked:
                os.link(linked[inode], target / name)
            else:
                (target / name).write_bytes(self.inodes[inode].content(now, fates))
                linked[inode] = target / name


def replay(operations: list[Operation], root: Path) -> Recording:
    """Read a recording of fault_shim as inodes and folder changes."""
    recording = Recording(str(root), len(operations))
    live: dict[str, int] = {}  # path -> inode, as a process sees it

    def change(number: int, path: str, inode: int | None) -> None:
        folder, name = os.path.split(path)
        recording.changes.setdefault(folder, []).append(Change(number, name, inode))
        if inode is None:
            live.pop(path, None)
        else:
            live[path] = inode

    for number, operation in enumerate(operations):
        path = operation.path
        if operation.name == "open" and operation.args[0] & os.O_CREAT and path not in live:
            recording.inodes.append(Inode())
            change(number, path, len(recording.inodes) - 1)
        elif operation.name == "mkdir" and path not in live:
            change(number, path, -1)
        elif operation.name == "unlink" and path in live:
            change(number, path, None)
        elif operation.name in ("rename", "replace"):
            target = os.fspath(operation.args[0])
            assert os.path.dirname(target) == os.path.dirname(path), "a rename between folders"
            inode = live[path]
            change(number, target, inode)
            recording.changes[os.path.dirname(path)].append(
                Change(number, os.path.basename(path), None)
            )
            live.pop(path)
        elif operation.name == "link":
            change(number, os.fspath(operation.args[0]), live[path])
        elif operation.name == "pwrite":
            file = recording.inodes[live[path]]
            file.writes.append((number, operation.args[1], operation.data))
        elif operation.name == "fsync":
            inode = live.get(path, -1)
            if inode == -1:
                recording.synced.setdefault(path, []).append(number)
            else:
                recording.inodes[live[path]].synced.append(number)
    return recording
