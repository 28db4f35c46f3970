"""Checkpoints that are damaged or hostile are never loaded; the one before serves."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import random
import resource
import struct
import zipfile
from pathlib import Path

import pytest
import torch
from checkpoints import tensors
from fault_shim import in_child

from ppo.core.errors import RunError, UserError
from ppo.runs import checkpoint
from ppo.runs.folder import RunFolder


def two_checkpoints(folder: RunFolder) -> Path:
    checkpoint.save(folder, 1, tensors(1), {"n": 1})
    return checkpoint.save(folder, 2, tensors(2), {"n": 2})


def assert_falls_back(folder: RunFolder, damaged: Path) -> None:
    found = checkpoint.load_latest(folder)
    assert found and found.batch == 1 and torch.equal(found.tensors["step"], torch.tensor(1))
    assert len(found.rejected) == 1 and damaged.name in found.rejected[0]
    assert "\n" not in found.rejected[0]
    aside = damaged.with_name(damaged.name + ".damaged")
    assert aside.exists() and not damaged.exists()
    aside.unlink()


def damage_all(folder: RunFolder, flips: int, cuts: int) -> None:
    path = two_checkpoints(folder)
    whole = path.read_bytes()
    draw = random.Random(0)
    for bit in draw.sample(range(len(whole) * 8), flips):
        data = bytearray(whole)
        data[bit // 8] ^= 1 << bit % 8
        path.write_bytes(data)
        assert_falls_back(folder, path)
    for length in draw.sample(range(len(whole)), cuts):
        path.write_bytes(whole[:length])
        assert_falls_back(folder, path)


def test_flipped_bits_and_truncations_are_detected(folder):
    damage_all(folder, flips=150, cuts=50)


@pytest.mark.slow
def test_a_thousand_flipped_bits_and_three_hundred_truncations_are_detected(folder):
    damage_all(folder, flips=1000, cuts=300)


@pytest.mark.parametrize("content", [b"", b"\0" * 500, b"x"])
def test_empty_and_zeroed_files_are_detected(folder, content):
    path = two_checkpoints(folder)
    path.write_bytes(content)
    assert_falls_back(folder, path)


def test_swapped_files_are_detected(folder):
    second = two_checkpoints(folder)
    (first,) = [path for path in folder.checkpoints.iterdir() if path != second]
    a, b = first.read_bytes(), second.read_bytes()
    first.write_bytes(b)
    second.write_bytes(a)
    with pytest.raises(RunError) as refused:
        checkpoint.load_latest(folder)
    assert first.name in str(refused.value) and second.name in str(refused.value)


def test_a_file_renamed_to_another_batch_is_detected(folder):
    path = two_checkpoints(folder)
    renamed = path.rename(path.with_name(path.name.replace("000002", "000009")))
    assert_falls_back(folder, renamed)


def test_all_damaged_is_an_error_that_lists_them_also_the_second_time(folder):
    two_checkpoints(folder)
    paths = sorted(folder.checkpoints.iterdir())
    for path in paths:
        path.write_bytes(b"damaged")
    for _ in range(2):
        with pytest.raises(RunError) as refused:
            checkpoint.load_latest(folder)
        lines = str(refused.value).splitlines()
        assert len(lines) == 3 and all(any(p.name in line for line in lines) for p in paths)


def test_a_checkpoint_of_another_configuration_is_passed_over_and_kept(folder):
    path = two_checkpoints(folder)
    found = checkpoint.load_latest(folder, lambda c: "other shapes" if c.meta["n"] == 2 else None)
    assert found and found.batch == 1 and found.rejected == [f"{path}: other shapes"]
    assert path.exists()


def test_a_damaged_best_falls_back_to_the_newest_and_is_told(folder):
    checkpoint.save(folder, 1, tensors(1), {}, best=True)
    (best,) = folder.checkpoints.glob("best_*")
    best.write_bytes(b"damaged")
    found = checkpoint.load_best(folder)
    assert found and found.batch == 1 and found.path.name.startswith("batch_")
    assert len(found.rejected) == 1 and "best_000001" in found.rejected[0]


def test_a_folder_that_may_only_be_read_still_falls_back(folder, monkeypatch, capsys):
    path = two_checkpoints(folder)
    path.write_bytes(b"damaged")

    def refuse(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "rename", refuse)
    found = checkpoint.load_latest(folder)
    assert found and found.batch == 1 and path.exists()
    assert "EROFS" in capsys.readouterr().err


def test_a_checkpoint_replaced_while_it_is_read_leads_to_the_newer(folder, monkeypatch):
    old = checkpoint.save(folder, 1, tensors(1), {})
    load = checkpoint._load

    def replaced(path: Path) -> checkpoint.Checkpoint:
        if path == old:
            old.unlink()
            checkpoint.save(folder, 2, tensors(2), {})
        return load(path)

    monkeypatch.setattr(checkpoint, "_load", replaced)
    found = checkpoint.load_latest(folder)
    assert found and found.batch == 2 and found.rejected == []


# ---- hostile files: named with their right digest, so that only the parser stands in between


def plant(folder: RunFolder, data: bytes, batch: int = 2) -> Path:
    folder.checkpoints.mkdir(exist_ok=True)
    digest = hashlib.sha256(data).hexdigest()[:16]
    path = folder.checkpoints / f"batch_{batch:06d}-{digest}.safetensors"
    path.write_bytes(data)
    return path


def with_header(header: object, body: bytes = b"", size: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if size is None else size) + text + body


def our_header(entries: dict, **content: object) -> dict:
    ours = {"schema_version": 1, "batch": 2, "meta": {}, **content}
    return {"__metadata__": {"checkpoint": json.dumps(ours)}, **entries}


def entry(dtype: str, shape: list[int], *offsets: int) -> dict:
    return {"w": {"dtype": dtype, "shape": shape, "data_offsets": list(offsets)}}


class Payload:
    def __init__(self, marker: Path) -> None:
        self.marker = str(marker)

    def __reduce__(self) -> tuple:
        return os.mkdir, (self.marker,)


def zip_bomb() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data.pkl", b"\0" * 50_000_000)
    return buffer.getvalue()


HOSTILE = {
    "zip bomb": zip_bomb(),
    "header of 2^63 bytes": with_header(b"{}", size=2**63),
    "header of all ones": b"\xff" * 8 + b"{}",
    "header past the end": with_header(b"{}", size=100),
    "header of 60 MB": with_header(b'{"a":[' + b"[]," * 20_000_000 + b"[]]}"),
    "many lists in the header": with_header(b'{"a":[' + b"[]," * 100_000 + b"[]]}"),
    "nested header": with_header(b"[" * 1_000_000),
    "nested meta": with_header({"__metadata__": {"checkpoint": "[" * 1_000_000}}),
    "no metadata": with_header(entry("F32", [1], 0, 4), b"1234"),
    "metadata of another program": with_header({"__metadata__": {"format": "pt"}}),
    "metadata a list": with_header({"__metadata__": []}),
    "header a list": with_header([]),
    "meta a list": with_header(our_header({}, meta=[])),
    "NaN in meta": with_header({"__metadata__": {"checkpoint": '{"schema_version": NaN}'}}),
    "another batch": with_header(our_header({}, batch=3)),
    "a batch that is text": with_header(our_header({}, batch="2")),
    "a version that is text": with_header(our_header({}, schema_version="1")),
    "shape of 100 TB": with_header(our_header(entry("F32", [10**14], 0, 4)), b"1234"),
    "shape that overflows": with_header(our_header(entry("F32", [2**63, 2**63], 0, 4)), b"1234"),
    "negative shape": with_header(our_header(entry("F32", [-1], 0, 4)), b"1234"),
    "offsets past the end": with_header(our_header(entry("F32", [100], 0, 400)), b"1234"),
    "offsets backward": with_header(our_header(entry("F32", [1], 4, 0)), b"1234"),
    "overlapping": with_header(
        our_header({**entry("F32", [1], 0, 4), "v": entry("F32", [1], 0, 4)["w"]}), b"1234"
    ),
    "unknown type": with_header(our_header(entry("OBJECT", [1], 0, 4)), b"1234"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_file_is_refused_in_one_line(folder, kind):
    checkpoint.save(folder, 1, tensors(1), {})
    path = plant(folder, HOSTILE[kind])
    with pytest.raises(UserError) as refused:
        checkpoint.load_file(path)
    assert path.name in str(refused.value) and "\n" not in str(refused.value)
    assert_falls_back(folder, path)


def test_a_pickle_is_refused_and_its_code_does_not_run(folder, tmp_path):
    marker = tmp_path / "marker"
    checkpoint.save(folder, 1, tensors(1), {})
    archive = io.BytesIO()
    torch.save({"payload": Payload(marker)}, archive)
    for data in (pickle.dumps(Payload(marker)), archive.getvalue()):
        path = plant(folder, data)
        with pytest.raises(UserError):
            checkpoint.load_file(path)
        assert_falls_back(folder, path)
    assert not marker.exists()


def test_hostile_files_cost_little_memory(folder):
    paths = [plant(folder, data) for data in HOSTILE.values()]
    sparse = folder.checkpoints / f"batch_000002-{'0' * 16}.safetensors"
    with sparse.open("wb") as file:
        file.truncate(400_000_000)

    def load_all() -> None:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 300 * 2**20,) * 2)
        for path in [*paths, sparse]:
            try:
                checkpoint.load_file(path)
            except UserError:
                continue
            raise AssertionError(path)

    assert in_child(load_all).status == 0


def test_a_later_version_is_named_and_its_file_left_alone(folder):
    checkpoint.save(folder, 1, tensors(1), {})
    path = plant(folder, with_header(our_header({}, schema_version=7)))
    for load in (lambda: checkpoint.load_latest(folder), lambda: checkpoint.load_file(path)):
        with pytest.raises(UserError, match="schema_version 7 .* upgrade"):
            load()
    assert path.exists()


def test_names_that_are_not_checkpoints_are_left_alone(folder):
    checkpoint.save(folder, 1, tensors(1), {})
    others = ["notes.txt", "batch_2-0.safetensors", ".batch_000002-0.tmp-1", "batch_000002.pt"]
    for name in others:
        (folder.checkpoints / name).write_text("")
    checkpoint.save(folder, 2, tensors(2), {}, keep=2)
    checkpoint.save(folder, 3, tensors(3), {}, keep=2)
    assert all((folder.checkpoints / name).exists() for name in others)
    with pytest.raises(UserError, match="not named like a checkpoint"):
        checkpoint.load_file(folder.checkpoints / "batch_000002.pt")


def test_a_pipe_or_a_folder_named_like_a_checkpoint_does_not_block(folder):
    checkpoint.save(folder, 1, tensors(1), {})
    os.mkfifo(folder.checkpoints / f"batch_000002-{'0' * 16}.safetensors")
    (folder.checkpoints / f"batch_000003-{'0' * 16}.safetensors").mkdir()
    found = checkpoint.load_latest(folder)
    assert found and found.batch == 1 and len(found.rejected) == 2


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match="batch_000001.*ENOENT"):
        checkpoint.load_file(tmp_path / f"batch_000001-{'0' * 16}.safetensors")
