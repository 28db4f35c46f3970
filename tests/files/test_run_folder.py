"""The run folder: names, lock, records, episodes, readers, errors."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from fault_shim import Shim, in_child, record_operations

from ppo import files
from ppo.errors import RunError, UserError
from ppo.metrics_log import strict_loads
from ppo.run_folder import RunFolder, read_records, run_names


@pytest.fixture
def folder(tmp_path):
    with RunFolder.create(tmp_path / "results") as made:
        yield made


def text(folder: RunFolder) -> str:
    return (folder.path / "loss_metrics.json").read_text()


# ---- names


def test_runs_are_numbered_in_order(tmp_path):
    names = [RunFolder.create(tmp_path).name for _ in range(3)]
    assert names == ["run0001", "run0002", "run0003"] == run_names(tmp_path)


def test_the_number_goes_past_four_digits_and_latest_goes_by_number(tmp_path):
    (tmp_path / "run9999").mkdir()
    os.utime(tmp_path / "run9999", (2e9, 2e9))
    assert RunFolder.create(tmp_path).name == "run10000"
    os.utime(tmp_path / "run10000", (0, 0))
    assert RunFolder.open(tmp_path, "latest").name == "run10000"


def test_other_names_in_the_results_folder_do_not_matter(tmp_path):
    for name in ("run1", "run0x01", "runs", "run00002", "README.md", "run٠٠٠٧"):
        (tmp_path / name).mkdir()
    assert RunFolder.create(tmp_path).name == "run0001"
    assert run_names(tmp_path) == ["run0001"]


def start_many(results: Path, count: int) -> list[str]:
    """Create runs in `count` processes that are let go at the same instant."""
    gate_out, gate_in = os.pipe()
    names_out, names_in = os.pipe()
    children = []
    for _ in range(count):
        pid = os.fork()
        if pid == 0:
            try:
                os.close(gate_in)
                os.read(gate_out, 1)  # returns when the parent closes the gate
                made = RunFolder.create(results)
                made.append({"batch": 0})
                os.write(names_in, f"{made.name}\n".encode())
            finally:
                os._exit(0)
        children.append(pid)
    os.close(gate_in)
    for pid in children:
        os.waitpid(pid, 0)
    os.close(names_in)
    os.close(gate_out)
    with os.fdopen(names_out) as reader:
        return reader.read().split()


@pytest.mark.parametrize("count", [2, 16])
def test_simultaneous_starts_get_folders_of_their_own(tmp_path, count):
    for attempt in range(4):
        results = tmp_path / str(attempt)
        names = start_many(results, count)
        assert sorted(names) == [f"run{n:04d}" for n in range(1, count + 1)]
        assert all(len(read_records(results / name)) == 1 for name in names)


def test_a_number_taken_since_the_folder_was_listed_is_passed_over(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "listdir", lambda _: [])
    names = []
    for _ in range(3):
        with RunFolder.create(tmp_path) as made:
            names.append(made.name)
    assert names == ["run0001", "run0002", "run0003"]


@pytest.mark.parametrize(
    "name",
    ["../x", "/etc", "run0001/..", "run0001/../..", "..", ".", "", "run1", "0002", "run0002",
     "a\0b", "two\nlines", "r" * 5000, "run0001\n", "~", "$HOME", "latest/..",
     "run0001/../run0002"],
)  # fmt: skip
def test_a_name_of_no_run_is_refused_in_one_line(tmp_path, name, monkeypatch):
    results = tmp_path / "results"
    RunFolder.create(results).close()
    monkeypatch.chdir(results)
    with pytest.raises(UserError) as refused:
        RunFolder.open(results, name)
    assert len(str(refused.value).splitlines()) == 1


def test_a_wrong_name_hints_at_the_run_that_was_meant(tmp_path):
    RunFolder.create(tmp_path).close()
    for name in ("run1", "1", "run00001", "rum0001"):
        with pytest.raises(UserError, match=r"did you mean run0001\?"):
            RunFolder.open(tmp_path, name)
    with pytest.raises(UserError, match="no run in .* yet"):
        RunFolder.open(tmp_path / "empty", "latest")


def test_a_run_name_that_links_elsewhere_is_refused(tmp_path):
    outside = RunFolder.create(tmp_path / "outside")
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "run0001").symlink_to(outside.path)
    for name in ("run0001", "latest"):
        with pytest.raises(UserError, match="links to another place"):
            RunFolder.open(tmp_path / "results", name)
    assert RunFolder.open(tmp_path / "results", str(outside.path)).path == outside.path


def test_a_loop_of_links_is_refused(tmp_path):
    (tmp_path / "run0001").symlink_to(tmp_path / "run0001")
    with pytest.raises(UserError):
        RunFolder.open(tmp_path, "run0001")
    assert RunFolder.create(tmp_path).name in ("run0001", "run0002")


@pytest.mark.parametrize(
    "place",
    ["with spaces", "ünïcödé", "'quotes' \"two\"", "100%", "line\nbreak", "x" * 200, "a/../b"],
)
def test_any_place_works_also_when_moved_and_copied(tmp_path, place, monkeypatch):
    results = tmp_path / place
    with RunFolder.create(results, {"config.yaml": "a: 1\n"}) as made:
        made.append({"batch": 0})
    monkeypatch.chdir(tmp_path)
    assert len(RunFolder.open(place, "latest").records()) == 1
    moved = tmp_path / "my best run"
    made.path.rename(moved)
    with RunFolder.open(tmp_path, "my best run") as again:
        again.append({"batch": 1})
        assert '"run": "my best run"' in text(again)
    subprocess.run(["cp", "-r", moved, tmp_path / "copy"], check=True)
    with RunFolder.open(tmp_path, str(tmp_path / "copy")) as copy:
        copy.append({"batch": 2})
    assert len(read_records(moved)) == 2 and len(read_records(tmp_path / "copy")) == 3


def test_a_linked_results_folder_works(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    RunFolder.create(tmp_path / "link").close()
    assert RunFolder.open(tmp_path / "link", "run0001").records() == []


# ---- creating


def test_nothing_is_made_by_opening_and_reading(tmp_path):
    made = RunFolder.create(tmp_path)
    made.append({"batch": 0})
    made.close()
    before = sorted(os.listdir(made.path))
    again = RunFolder.open(tmp_path, "latest")
    assert again.records() and again.episodes() == [] and again.read_json("summary.json") is None
    assert again.status() == "unknown" and not again.is_alive()
    again.sync()
    again.close()
    assert sorted(os.listdir(made.path)) == before


@pytest.mark.parametrize("error", ["ENOSPC", "EROFS", "EACCES", "EIO"])
def test_a_start_that_fails_leaves_no_run_number_behind(tmp_path, error):
    texts = {"config.yaml": "a: 1\n"}
    healthy = tmp_path / "healthy"
    count = len(record_operations(healthy, lambda: RunFolder.create(healthy, texts, room=9)))
    for at in range(count):
        results = tmp_path / str(at)
        with Shim(results, at, error):
            try:
                made = RunFolder.create(results, texts, room=9)
            except UserError as refused:
                assert str(refused).startswith(f"--results {results}: ")
                assert error in str(refused) and len(str(refused).splitlines()) == 1
                assert not results.exists() or not list(results.iterdir())
            else:
                made.close()


def test_results_below_a_file_name_the_flag(tmp_path):
    (tmp_path / "file").write_text("")
    for results in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UserError, match="^--results .*file"):
            RunFolder.create(results)


# ---- records


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


# ---- episodes


def episode(batch: int, value: float | None = 1.5) -> dict[str, object]:
    return {"batch": batch, "env": 3, "return": value, "length": 10}


def test_episodes_are_appended_and_cut_by_batch(folder):
    folder.append_episodes([])
    assert not (folder.path / "episodes.csv").exists()
    for batch in (0, 0, 1, 3):
        folder.append_episodes([episode(batch), episode(batch, float("nan"))])
    assert len(folder.episodes()) == 8
    folder.truncate_episodes(2)
    assert [row["batch"] for row in folder.episodes()] == ["0"] * 4 + ["1"] * 2
    folder.append_episodes([episode(2, None)])
    lines = (folder.path / "episodes.csv").read_text().splitlines()
    assert lines[0] == "batch,env,return,length" and lines[-1] == "2,3,,10" and len(lines) == 8


def test_a_torn_last_episode_is_left_out_and_mended(tmp_path):
    with RunFolder.create(tmp_path) as folder:
        folder.append_episodes([episode(batch) for batch in range(3)])
    path = folder.path / "episodes.csv"
    whole = path.read_bytes()
    for end in (b"2,3,1.", b"2,3", b"2,3,1.5,1", b"\0" * 20, b"x,y\n", b'2,"'):
        path.write_bytes(whole + end)
        with RunFolder.open(tmp_path, "latest") as again:
            assert len(again.episodes()) == 3
            again.append_episodes([episode(3)])
        assert path.read_bytes() == whole + b"3,3,1.5,10\n"


# ---- other files, status


def test_json_files_are_replaced_as_a_whole_and_hold_no_nan(folder):
    folder.write_json("provenance.json", {"a": float("nan"), "b": np.float32(2)})
    assert folder.read_json("provenance.json") == {"a": None, "b": 2.0}
    assert folder.read_json("missing.json") is None
    (folder.path / "broken.json").write_text("{")
    with pytest.raises(UserError, match="broken.json: not valid JSON"):
        folder.read_json("broken.json")


def test_statuses_merge_into_the_summary(folder):
    folder.set_status("running", best_return=None)
    assert folder.status() == "running"
    folder.set_status("finished", final_return=3.0)
    summary = folder.read_json("summary.json")
    assert summary["status"] == "finished" and summary["final_return"] == 3.0
    assert summary["pid"] == os.getpid() and summary["boot_id"] == files.boot_id()
    (folder.path / "summary.json").write_text("broken by hand")
    folder.set_status("failed", why="disk full")
    assert folder.read_json("summary.json") == {"status": "failed", "why": "disk full"}


def test_a_killed_run_is_recognized(tmp_path):
    def die() -> None:
        folder = RunFolder.create(tmp_path)
        folder.set_status("running")
        folder.append({"batch": 0})
        os.kill(os.getpid(), 9)

    assert in_child(die).status == -9
    folder = RunFolder.open(tmp_path, "latest")
    assert not folder.is_alive() and folder.status() == "killed"
    folder.lock()
    assert folder.is_alive() and folder.status() == "running"


def test_names_cannot_leave_the_run_folder(folder):
    for name in ("../x", "/tmp/x", "a/../../x", ""):
        with pytest.raises(AssertionError):
            folder.write_text(name, "")


def test_stale_temporary_files_of_dead_processes_are_removed(folder):
    folder.checkpoints.mkdir()
    dead = in_child(lambda: None)
    assert dead.status == 0
    gone = [".summary.json.tmp-999999999", f".x.tmp-{os.getpid()}"]
    kept = [".x.tmp-1", ".tmp-999999999", "x.tmp-999999999"]
    for name in gone + kept:
        (folder.path / name).write_text("")
        (folder.checkpoints / name).write_text("")
    assert sorted(folder.remove_stale()) == sorted(gone * 2)
    assert all((folder.path / name).exists() for name in kept)


# ---- lock


def test_a_second_process_is_refused_and_told_who_has_the_run(folder):
    pid = os.getpid()

    def second() -> None:
        RunFolder.open(folder.path.parent, "latest").append({"batch": 0})

    before = text(folder)
    refused = in_child(second)
    assert refused.status == 2 and f"process {pid}" in refused.message
    assert text(folder) == before and folder.is_alive()


def test_the_lock_is_free_after_close(tmp_path):
    with RunFolder.create(tmp_path) as folder:
        folder.lock()
        folder.lock()
    RunFolder.open(tmp_path, "latest").lock()
    assert not folder.is_alive()


def test_the_lock_is_free_after_a_kill_although_a_forked_worker_lives(tmp_path):
    pipe_out, pipe_in = os.pipe()

    def trainer() -> None:
        folder = RunFolder.create(tmp_path)
        if os.fork() == 0:
            os.read(pipe_out, 1)  # a worker that outlives its trainer
            os._exit(0)
        folder.append({"batch": 0})
        os.kill(os.getpid(), 9)

    assert in_child(trainer).status == -9
    try:
        RunFolder.open(tmp_path, "latest").lock()
    finally:
        os.write(pipe_in, b"x")


def test_a_file_system_without_locks_gives_a_warning(tmp_path, monkeypatch):
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", no_locks)
    folder = RunFolder.create(tmp_path)
    assert len(folder.warnings) == 1 and "no file locks" in folder.warnings[0]
    folder.set_status("running")
    folder.release()
    assert RunFolder.open(tmp_path, "latest").is_alive()


# ---- imports


def test_reading_runs_needs_no_torch():
    code = (
        "import sys, ppo.run_folder, ppo.provenance, ppo.signals; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
