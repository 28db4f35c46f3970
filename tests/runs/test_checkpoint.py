"""Checkpoints: what comes back, and what stays."""

from __future__ import annotations

import os

import pytest
import torch
from checkpoints import tensors

from ppo.core.errors import Diverged, RunError
from ppo.runs import checkpoint
from ppo.runs.folder import RunFolder


def names(folder: RunFolder) -> list[str]:
    return sorted(path.name.split("-")[0] for path in folder.checkpoints.iterdir())


# ---- what comes back


def test_every_kind_of_tensor_comes_back_bit_by_bit(folder):
    base = torch.randn(6, 4, dtype=torch.float64)
    saved = {
        "float64": base,
        "transposed": base.T,
        "strided": base[::2, 1::2],
        "shared": base.view(-1),
        "expanded": torch.tensor([1.5]).expand(7),
        "scalar": torch.tensor(-0.0),
        "empty": torch.empty(0, 3),
        "bool": torch.tensor([True, False, True]),
        "int64": torch.tensor([2**62, -1]),
        "uint8": torch.get_rng_state(),
        "int32": torch.arange(5, dtype=torch.int32),
        "half": torch.randn(3).half(),
        "bfloat16": torch.randn(3).bfloat16(),
        "parameter": torch.nn.Parameter(torch.ones(2)),
    }
    checkpoint.save(folder, 3, saved, {})
    found = checkpoint.load_latest(folder)
    assert found and found.batch == 3 and set(found.tensors) == set(saved)
    for name, tensor in saved.items():
        back = found.tensors[name]
        assert back.dtype == tensor.dtype and back.shape == tensor.shape
        assert torch.equal(back, tensor.detach()), name
    assert torch.signbit(found.tensors["scalar"])


def test_meta_comes_back(folder):
    meta = {"random": 2**127 + 1, "name": "ünï\0", "list": [1, None, True, 0.1], "deep": {"a": {}}}
    checkpoint.save(folder, 1, tensors(), meta)
    found = checkpoint.load_latest(folder)
    assert found and found.meta == meta and found.rejected == []


def test_loaded_tensors_can_be_trained_on(folder):
    path = checkpoint.save(folder, 1, tensors(), {})
    checkpoint.load_file(path).tensors["agent.weight"].add_(1.0)
    assert torch.equal(
        checkpoint.load_file(path).tensors["agent.weight"], tensors()["agent.weight"]
    )


def test_equal_content_has_an_equal_name_and_is_not_written_again(folder):
    first = checkpoint.save(folder, 2, tensors(), {"a": 1})
    before = first.stat()
    assert checkpoint.save(folder, 2, tensors(), {"a": 1}) == first
    assert first.stat().st_ino == before.st_ino and first.stat().st_mtime_ns == before.st_mtime_ns


def test_a_damaged_file_of_the_same_name_is_replaced(folder):
    path = checkpoint.save(folder, 2, tensors(), {})
    path.write_bytes(b"damaged")
    assert checkpoint.save(folder, 2, tensors(), {}) == path
    assert checkpoint.load_file(path).batch == 2


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_tensor_that_is_not_finite_is_refused_by_name(folder, value):
    bad = {**tensors(), "critic.bias": torch.tensor([0.0, value, 1.0])}
    with pytest.raises(Diverged, match=r"batch 4 .*critic.bias has 1 of 3"):
        checkpoint.save(folder, 4, bad, {})
    assert not folder.checkpoints.exists()


def test_meta_that_is_not_finite_is_refused(folder):
    with pytest.raises(ValueError):
        checkpoint.save(folder, 1, tensors(), {"best": -float("inf")})
    assert not folder.checkpoints.exists()


# ---- what stays


def test_the_newest_and_the_best_stay(folder):
    for batch in range(1, 8):
        best = batch in (2, 3)
        checkpoint.save(folder, batch, tensors(batch), {}, keep=3, best=best)
    assert names(folder) == ["batch_000005", "batch_000006", "batch_000007", "best_000003"]
    best_one, latest = checkpoint.load_best(folder), checkpoint.load_latest(folder)
    assert best_one and best_one.batch == 3
    assert latest and latest.batch == 7


def test_order_goes_by_number_also_past_six_digits_and_not_by_time(folder):
    late = checkpoint.save(folder, 1_000_000, tensors(1), {})
    checkpoint.save(folder, 999_999, tensors(2), {})
    os.utime(late, (0, 0))
    found = checkpoint.load_latest(folder)
    assert found and found.batch == 1_000_000


def test_another_try_of_a_batch_takes_the_place_of_the_first(folder):
    for attempt in range(4):
        newest = checkpoint.save(folder, 5, tensors(attempt), {"attempt": attempt}, keep=2)
        assert newest.exists()
    checkpoint.save(folder, 6, tensors(9), {}, keep=2)
    assert newest.exists() and len(names(folder)) == 2


def test_a_checkpoint_saved_after_going_back_is_not_deleted_as_the_oldest(folder):
    for batch in (8, 9, 10):
        checkpoint.save(folder, batch, tensors(batch), {}, keep=2)
    assert checkpoint.save(folder, 4, tensors(4), {}, keep=2).exists()


def test_without_checkpoints_there_is_none(folder):
    assert checkpoint.load_latest(folder) is None and checkpoint.load_best(folder) is None
    checkpoint.tidy(folder)


def test_without_a_best_the_newest_serves(folder):
    checkpoint.save(folder, 1, tensors(), {})
    found = checkpoint.load_best(folder)
    assert found and found.batch == 1


def test_a_full_disk_leaves_the_earlier_checkpoint(folder, monkeypatch):
    path = checkpoint.save(folder, 1, tensors(), {})
    content = path.read_bytes()

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(RunError) as refused:
        checkpoint.save(folder, 2, tensors(1), {})
    monkeypatch.undo()
    message = str(refused.value)
    assert str(folder.path) in message and "ENOSPC" in message and "\n" not in message
    assert [p.read_bytes() for p in folder.checkpoints.iterdir()] == [content]
