"""loss_metrics.json: its layout, its writer and its readers, also after a crash."""

from __future__ import annotations

import errno
import json
import os
import re
import threading

import numpy as np
import pytest
from fault_shim import Shim

from ppo.core.errors import RunError, UserError
from ppo.insight.logs import own
from ppo.runs.folder import RunFolder
from ppo.runs.metrics_file import last_record, read_records, strict_loads


def text(folder: RunFolder) -> str:
    return (folder.path / "loss_metrics.json").read_text()


def test_the_document_has_the_layout_that_tail_shows(folder):
    assert strict_loads(text(folder)) == {"schema_version": 1, "run": "run0001", "batches": []}
    folder.append({"batch": 0, "env_steps": 4096})
    folder.append({"batch": 1, "env_steps": 8192})
    assert text(folder) == (
        '{"schema_version": 1, "run": "run0001", "batches": [\n'
        '{"batch": 0, "env_steps": 4096},\n'
        '{"batch": 1, "env_steps": 8192}\n'
        "]}\n"
    )


def test_what_is_not_finite_is_null_and_floats_keep_every_bit(folder):
    values = [0.1, 1e-310, -0.0, 1.7976931348623157e308, 2**60 + 1]
    folder.append(
        {"a": float("nan"), "b": [float("inf")], "c": {"d": -float("inf")}, "values": values}
    )
    folder.append({"x": np.float32(0.5), "y": np.int64(3), "z": np.float64("nan"), "t": (1, 2)})
    first, second = folder.records()
    assert first["a"] is None and first["b"] == [None] and first["c"] == {"d": None}
    assert [repr(v) for v in first["values"]] == [repr(v) for v in values]
    assert second == {"x": 0.5, "y": 3, "z": None, "t": [1, 2]}


@pytest.mark.parametrize("kept", [0, 1, 2, 5, 9])
def test_truncating_keeps_the_first_records(folder, kept):
    for batch in range(5):
        folder.append({"batch": batch})
    folder.truncate(kept)
    assert [record["batch"] for record in folder.records()] == list(range(min(kept, 5)))
    folder.append({"batch": "next"})
    assert strict_loads(text(folder))["batches"][-1] == {"batch": "next"}


def test_appending_goes_on_after_reopening(tmp_path):
    for batch in range(6):
        if batch == 0:
            folder = RunFolder.create(tmp_path)
        else:
            folder = RunFolder.open(tmp_path, "latest")
        folder.append({"batch": batch})
        folder.close() if batch % 2 else folder.release()
    assert [record["batch"] for record in read_records(tmp_path / "run0001")] == list(range(6))


def test_a_closed_run_has_one_copy_of_its_metrics(tmp_path):
    with RunFolder.create(tmp_path) as folder:
        folder.append({"batch": 0})
    assert sorted(os.listdir(folder.path)) == [".lock", "loss_metrics.json"]


@pytest.mark.parametrize("cut", range(0, 160, 7))
def test_a_torn_document_is_read_up_to_its_last_complete_line_and_mended(tmp_path, cut):
    folder = RunFolder.create(tmp_path)
    for batch in range(4):
        folder.append({"batch": batch, "loss": 0.5})
    folder.close()
    path = folder.path / "loss_metrics.json"
    whole = path.read_bytes()
    path.write_bytes(whole[:cut])
    found = [record["batch"] for record in read_records(path)]
    assert found == list(range(min(4, whole[:cut].count(b"}"))))
    with RunFolder.open(tmp_path, "run0001") as again:
        again.append({"batch": len(found)})
    assert len(strict_loads(path.read_bytes())["batches"]) == len(found) + 1


def test_a_document_laid_out_anew_is_read_and_written_on(tmp_path):
    with RunFolder.create(tmp_path) as folder:
        for batch in range(3):
            folder.append({"batch": batch})
    path = folder.path / "loss_metrics.json"
    path.write_text(json.dumps(json.loads(path.read_text()), indent=4))
    with RunFolder.open(tmp_path, "latest") as again:
        assert len(again.records()) == 3
        again.append({"batch": 3})
    assert [record["batch"] for record in read_records(path)] == [0, 1, 2, 3]


def damaged(whole: bytes) -> list[bytes]:
    """What a cut, a power failure and a careless editor leave of a document."""
    cuts = [whole[:cut] for cut in range(0, len(whole), 23)]
    zeros = [cut + b"\0" * 40 for cut in cuts]
    torn_inside = re.sub(rb'("batch": 7, ).*', rb"\1", whole)
    return [whole, *cuts, *zeros, torn_inside, whole.replace(b"\n", b"\r\n"), b'{"batch": 0}\n']


def test_all_readers_agree_where_a_document_ends(tmp_path):
    with RunFolder.create(tmp_path) as folder:
        for batch in range(9):
            folder.append({"batch": batch, "pad": "x" * batch, "components": {"a": {"loss": 0.5}}})
    path = folder.path / "loss_metrics.json"
    lengths = set()
    for content in damaged(path.read_bytes()):
        path.write_bytes(content)
        records = read_records(path)
        assert [record["batch"] for record in records] == list(range(len(records)))
        assert own.read_records(path) == records, content
        assert last_record(folder.path) == (records[-1] if records else None), content
        thin = own.read_thin(path, ("batch",), most=3)
        assert thin.length == len(records), content
        assert not records or (thin.records[0], thin.records[-1]) == (records[0], records[-1])
        if "batch" in thin.columns:
            assert thin.columns["batch"].tolist() == list(range(len(records)))
        lengths.add(len(records))
    assert lengths == set(range(10))


def test_the_last_record_is_found_however_long_it_is(folder):
    assert last_record(folder.path) is None
    for batch in range(300):
        folder.append({"batch": batch})
    assert last_record(folder.path) == {"batch": 299}
    folder.append({"batch": 300, "pad": "x" * 20_000})
    assert last_record(folder.path)["batch"] == 300
    assert last_record(folder.path / "absent") is None


def test_nan_of_another_program_is_a_number_to_the_doctor_and_the_end_to_the_trainer(tmp_path):
    path = tmp_path / "loss_metrics.json"
    path.write_text('{"schema_version": 1, "run": "a", "batches": [\n{"batch": 0},\n{"x": NaN}\n]}')
    assert len(read_records(path)) == 2 and len(RunFolder(tmp_path).records()) == 1


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 100, b"[]", b"1", b"{", b"[" * 100_000, b"\xff\xfe", b"PK\x03\x04"]
)
def test_rubbish_in_place_of_metrics_holds_no_records(tmp_path, content):
    path = tmp_path / "loss_metrics.json"
    path.write_bytes(content)
    assert read_records(path) == [] == read_records(tmp_path)


def test_metrics_of_a_later_version_are_refused(tmp_path):
    path = tmp_path / "loss_metrics.json"
    path.write_text('{"schema_version": 2, "run": "run0001", "batches": [\n]}\n')
    with pytest.raises(UserError, match="schema_version 2 .* upgrade"):
        read_records(path)


def test_reading_what_is_not_there_names_it(tmp_path):
    assert read_records(tmp_path) == []
    with pytest.raises(UserError, match="nowhere"):
        read_records(tmp_path / "nowhere")


def test_a_pipe_in_place_of_metrics_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "loss_metrics.json")
    with pytest.raises(UserError, match="not a regular file"):
        read_records(tmp_path)


def test_a_reader_beside_the_writer_sees_only_whole_records(folder):
    stop = threading.Event()
    faults: list[str] = []
    reads = [0]

    def read() -> None:
        seen = 0
        while not stop.is_set():
            batches = [record["batch"] for record in read_records(folder.path)]
            if batches != list(range(len(batches))) or len(batches) < seen - 1:
                faults.append(f"{seen} records, then {batches[-3:]}")
            seen = max(seen, len(batches))
            reads[0] += 1

    reader = threading.Thread(target=read)
    reader.start()
    for batch in range(1500):
        folder.append({"batch": batch, "pad": "x" * 300})
    stop.set()
    reader.join()
    assert not faults and reads[0] > 10


def test_a_record_costs_the_same_at_any_length(folder):
    def cost(count: int) -> tuple[list[str], int]:
        with Shim(folder.path) as shim:
            for _ in range(count):
                folder.append({"batch": 123456, "loss": 0.25})
        names = [operation.name for operation in shim.operations]
        return names, sum(len(operation.data) for operation in shim.operations)

    folder.append({"batch": 123456, "loss": 0.25})
    folder.append({"batch": 123456, "loss": 0.25})
    early = cost(10)
    for _ in range(3000):
        folder.append({"batch": 123456, "loss": 0.25})
    assert cost(10) == early
    assert early[0] == ["pwrite", "link", "rename"] * 10


def test_without_hard_links_the_file_is_written_in_place_and_mended(tmp_path, monkeypatch):
    def no_links(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    folder = RunFolder.create(tmp_path)
    for batch in range(5):
        folder.append({"batch": batch})
        assert len(strict_loads(text(folder))["batches"]) == batch + 1
    assert len(folder.warnings) == 1 and "no hard links" in folder.warnings[0]
    assert not (folder.path / ".metrics.a").exists()
    folder.sync()
    folder.release()
    path = folder.path / "loss_metrics.json"
    path.write_bytes(path.read_bytes()[:-10])
    with RunFolder.open(tmp_path, "latest") as again:
        assert len(again.records()) == 4
        again.append({"batch": 4})
    assert len(strict_loads(path.read_bytes())["batches"]) == 5


@pytest.mark.parametrize("fault", ["short", "ENOSPC", "EIO"])
def test_an_append_that_failed_can_be_tried_again(folder, fault):
    for batch in range(3):
        folder.append({"batch": batch})
    for at in range(3):
        number = len(folder.records())
        with Shim(folder.path, at, fault):
            try:
                folder.append({"batch": number})
            except RunError as error:
                assert str(folder.path) in str(error) and fault in str(error)
        assert len(strict_loads(text(folder))["batches"]) >= number
        folder.truncate(number)
        folder.append({"batch": number})
    assert [record["batch"] for record in strict_loads(text(folder))["batches"]] == list(range(6))


def test_a_leftover_of_a_dead_process_with_our_number_is_no_hindrance(folder):
    leftovers = [".loss_metrics.json", ".summary.json", ".metrics.a"]
    for name in leftovers:
        (folder.path / f"{name}.tmp-{os.getpid()}").write_text("half a file")
    folder.append({"batch": 0})
    folder.set_status("running")
    folder.truncate(1)
    assert len(strict_loads(text(folder))["batches"]) == 1
    assert not list(folder.path.glob(".*.tmp-*"))


def test_what_the_kernel_takes_in_parts_is_written_whole(folder, monkeypatch):
    pwrite = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: pwrite(fd, bytes(data)[:5], at))
    record = {"batch": 0, "policy_loss": 0.125}
    folder.append(record)
    assert read_records(folder.path) == [record]
