"""Checkpoints: one file each, without code inside, checked by its digest before it is parsed.

A checkpoint is a safetensors file whose name holds the batch and the digest of the content, so one
rename commits all of it. Everything that is not a tensor travels as JSON text in the header.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from ppo.core.errors import Diverged, RunError, UserError
from ppo.runs import files
from ppo.runs.folder import RunFolder
from ppo.runs.metrics_file import strict_loads

SCHEMA_VERSION = 1
NAME = re.compile(r"(batch|best)_(\d{6,})-([0-9a-f]{16})\.safetensors")
KEY = "checkpoint"  # of the one entry in the header's metadata: several would have a random order
HEADER_LIMIT = 8 * 2**20  # bytes; parsed JSON takes about 25 times as much memory
CHUNK = 2**20


@dataclass
class Checkpoint:
    """What was saved: after how many batches, the tensors (on the CPU) and the rest.

    `rejected` has one line for each newer checkpoint that could not be used.
    """

    batch: int
    tensors: dict[str, Tensor]
    meta: dict[str, Any]
    path: Path
    rejected: list[str] = field(default_factory=list)


class _Damaged(Exception):
    """The content is not what was written; the message has the reason."""


Accept = Callable[[Checkpoint], str | None]


# ---- saving


def save(
    folder: RunFolder,
    batch: int,
    tensors: Mapping[str, Tensor],
    meta: Mapping[str, Any],
    *,
    keep: int = 3,
    best: bool = False,
) -> Path:
    """Commit a checkpoint by one rename, after the metrics it counts are on the disk.

    Args:
        batch: batches finished; on resume the log is cut to as many records.
        tensors: dotted name -> tensor of any device, layout and plain dtype.
        meta: JSON content: counters, integers of random generators, versions.
        keep: how many of the newest stay, at least 2.
        best: file it under `best_...` too, in place of the earlier best. That comes first: a kill
            in between repeats the batch, and does not leave a run that never had this best.

    Returns:
        The path of the checkpoint among the newest.

    Raises:
        Diverged: a tensor holds NaN or infinity; nothing is written.
        UserError: `meta` is too large; nothing is written.
        RunError: the file system refused; earlier checkpoints are intact.
    """
    assert keep >= 2, "one checkpoint is none while the next is written"
    data = _serialize(batch, tensors, meta)
    digest = hashlib.sha256(data).hexdigest()[:16]
    folder.lock()
    with files.reporting(folder.path, f"save the checkpoint of batch {batch}"):
        if not folder.checkpoints.is_dir():
            files.make_folder(folder.checkpoints)
        if best:
            _delete_old(_commit(folder, f"best_{batch:06d}-{digest}.safetensors", data), 1)
        path = _commit(folder, f"batch_{batch:06d}-{digest}.safetensors", data)
        _delete_old(path, keep)
    return path


def tidy(folder: RunFolder, keep: int = 3) -> None:
    """On resume: delete what a kill between saving and deleting has left too much."""
    assert keep >= 2
    with files.reporting(folder.path, "delete old checkpoints"):
        for kind, number in (("best", 1), ("batch", keep)):
            for path in _list(folder.checkpoints, kind)[:1]:
                _delete_old(path, number)


def _commit(folder: RunFolder, name: str, data: bytes) -> Path:
    path = folder.checkpoints / name
    if not _is_intact(path):
        draft = files.write_temporary(path, data)
        folder.sync()  # a checkpoint never counts a batch that the log has lost
        files.commit(draft, path)
    return path


def _is_intact(path: Path) -> bool:
    """Whether this very checkpoint exists already; a damaged one is set aside."""
    if not path.exists():
        return False
    try:
        _verified(path, NAME.fullmatch(path.name))
    except (_Damaged, OSError):
        _set_aside(path)
        return False
    return True


def _serialize(batch: int, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> bytes:
    plain = {}
    for name, tensor in tensors.items():
        # A copy of its own: views, expanded and shared tensors cannot be written as they are.
        copy = tensor.detach().to("cpu", copy=True).contiguous()
        if copy.is_floating_point() or copy.is_complex():
            bad = int((~torch.isfinite(copy)).sum())
            if bad:
                raise Diverged(
                    f"checkpoint of batch {batch} refused: {name} has {bad} of {copy.numel()} "
                    "entries that are not finite"
                )
        plain[name] = copy
    content = {"schema_version": SCHEMA_VERSION, "batch": batch, "meta": meta}
    text = json.dumps(content, allow_nan=False, default=lambda number: number.item())
    data = safetensors.torch.save(plain, {KEY: text})
    size = int.from_bytes(data[:8], "little")
    if size > HEADER_LIMIT:  # of what it holds, states of callbacks alone have no bound
        raise UserError(
            f"checkpoint of batch {batch} refused: {size:,} bytes beside its tensors; allowed: up "
            f"to {HEADER_LIMIT:,}; give tensors in place of long lists in state_dict of a callback"
        )
    return data


def _delete_old(newest: Path, keep: int) -> None:
    of_batch = newest.name.partition("-")[0]  # earlier tries of it
    others = [path for path in _list(newest.parent, of_batch.split("_")[0]) if path != newest]
    tries = [path for path in others if path.name.partition("-")[0] == of_batch]
    for path in tries + [path for path in others if path not in tries][keep - 1 :]:
        files.remove(path)


# ---- loading


def load_latest(folder: RunFolder, accept: Accept | None = None) -> Checkpoint | None:
    """The newest checkpoint that is intact; None where none was ever saved.

    Damaged ones are renamed to `<name>.damaged` and told in `rejected`.

    Args:
        accept: says why a checkpoint does not suit this run (another configuration), or None.

    Raises:
        RunError: there are checkpoints, and none can be used; the message lists them.
        UserError: the newest was written by a later version of this package.
    """
    return _first(folder, "batch", accept)


def load_best(folder: RunFolder) -> Checkpoint | None:
    """The checkpoint with the best evaluation; the newest where there is no best.

    Raises: as `load_latest`.
    """
    rejected: list[str] = []
    try:
        best = _first(folder, "best")
    except RunError as error:
        best, rejected = None, str(error).splitlines()[1:]
    if best is not None:
        return best
    latest = _first(folder, "batch")
    if latest is not None:
        latest.rejected[:0] = rejected
    return latest


def load_file(path: str | os.PathLike[str]) -> Checkpoint:
    """One checkpoint file, under the name that it was saved with.

    Raises:
        UserError: missing, damaged, renamed, not a checkpoint, or of a later version.
    """
    path = Path(path)
    try:
        return _load(path)
    except (_Damaged, OSError) as error:
        raise UserError(_line(path, error)) from error


def to_bytes(checkpoint: Checkpoint) -> bytes:
    """The content of a checkpoint's file, for processes that do not see the file."""
    return _serialize(checkpoint.batch, checkpoint.tensors, checkpoint.meta)


def from_bytes(data: bytes) -> Checkpoint:
    """What `to_bytes` was given."""
    content = _content(data)
    tensors = safetensors.torch.load(data)
    return Checkpoint(content["batch"], tensors, content["meta"], Path())


def _first(folder: RunFolder, kind: str, accept: Accept | None = None) -> Checkpoint | None:
    rejected: list[str] = []
    for path in _candidates(folder.checkpoints, kind):
        try:
            checkpoint = _load(path)
        except FileNotFoundError:
            continue  # the trainer at work has replaced it by a newer one
        except OSError as error:
            rejected.append(_line(path, error))
            continue
        except _Damaged as error:
            rejected.append(_line(path, error))
            _set_aside(path)
            continue
        why = accept(checkpoint) if accept else None
        if why is None:
            checkpoint.rejected = rejected
            return checkpoint
        rejected.append(f"{files.shown(path)}: {why}")
    damaged = sorted(folder.checkpoints.glob(f"{kind}_*.damaged"))
    rejected += [f"{files.shown(path)}: damaged" for path in damaged if not _told(path, rejected)]
    if rejected:
        advice = "no usable checkpoint; to start over delete these files, or begin a new run"
        raise RunError("\n".join([f"{files.shown(folder.path)}: {advice}", *rejected]))
    return None


def _candidates(checkpoints: Path, kind: str) -> Iterator[Path]:
    """Newest first; listed again after the last, as a trainer may have saved in the meantime."""
    seen: set[Path] = set()
    while fresh := [path for path in _list(checkpoints, kind) if path not in seen]:
        for path in fresh:
            seen.add(path)
            yield path


def _list(checkpoints: Path, kind: str) -> list[Path]:
    try:
        names = os.listdir(checkpoints)
    except FileNotFoundError:
        return []
    matches = [match for name in names if (match := NAME.fullmatch(name)) and match[1] == kind]
    matches.sort(key=lambda match: (int(match[2]), match[0]), reverse=True)
    return [checkpoints / match[0] for match in matches]


def _told(path: Path, rejected: list[str]) -> bool:
    name = files.shown(path).removesuffix(".damaged")
    return any(line.startswith(f"{name}:") for line in rejected)


def _line(path: Path, error: Exception) -> str:
    why = files.reason(error) if isinstance(error, OSError) else str(error)
    return f"{files.shown(path)}: {why}"


def _set_aside(path: Path) -> None:
    """Keep a damaged file for whoever wants to look, under a name that is not tried again."""
    try:
        os.rename(path, path.with_name(path.name + ".damaged"))
    except OSError as error:  # a folder that we may only read: it will be rejected again
        print(f"warning: {_line(path, error)}", file=sys.stderr)


def _load(path: Path) -> Checkpoint:
    match = NAME.fullmatch(path.name)
    data = _verified(path, match)
    content = _content(data)
    version = content.get("schema_version")
    if not isinstance(version, int) or isinstance(version, bool):
        raise _Damaged("not a checkpoint of this package")
    if version > SCHEMA_VERSION:
        raise UserError(
            f"{files.shown(path)}: schema_version {version} was written by a later version of this "
            f"package (this one reads up to {SCHEMA_VERSION}); upgrade it"
        )
    batch, meta = content.get("batch"), content.get("meta")
    assert match is not None
    if batch != int(match[2]) or not isinstance(meta, dict):
        raise _Damaged("not a checkpoint of this package")
    try:
        tensors = safetensors.torch.load(data)
    except (safetensors.SafetensorError, RuntimeError, ValueError, TypeError, KeyError) as error:
        raise _Damaged(f"not a valid safetensors file ({str(error).splitlines()[0]})") from error
    return Checkpoint(int(match[2]), tensors, meta, path)


def _verified(path: Path, match: re.Match[str] | None) -> bytes:
    """The content, once it is known to have the digest in the name.

    The digest is taken in pieces first, so that a huge file that is not ours costs no memory.
    """
    fd = files.open_regular(path)
    with os.fdopen(fd, "rb") as file:
        if match is None:
            raise _Damaged("not named like a checkpoint (batch_000120-<16 hex digits>.safetensors)")
        digest = hashlib.sha256()
        while chunk := file.read(CHUNK):
            digest.update(chunk)
        if digest.hexdigest()[:16] != match[3]:
            raise _Damaged("damaged: the content does not have the digest in the name")
        file.seek(0)
        return file.read()


def _content(data: bytes) -> dict[str, Any]:
    size = int.from_bytes(data[:8], "little")
    if len(data) < 8 or size > min(HEADER_LIMIT, len(data) - 8):
        raise _Damaged(f"not a valid safetensors file (header of {size} bytes)")
    try:
        header = strict_loads(data[8 : 8 + size])
        content = strict_loads(header["__metadata__"][KEY])
    except (ValueError, KeyError, TypeError) as error:
        raise _Damaged("not a checkpoint of this package") from error
    if not isinstance(content, dict):
        raise _Damaged("not a checkpoint of this package")
    return content
