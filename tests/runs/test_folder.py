"""The run folder: starting it, episodes, other files, status, lock."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import numpy as np
import pytest
from fault_shim import Shim, in_child, record_operations

from ppo.core.errors import UserError
from ppo.runs import files
from ppo.runs.folder import RunFolder
from ppo.runs.names import run_names

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


def test_room_is_looked_for_also_where_the_system_cannot_reserve_it(tmp_path, monkeypatch):
    """As on macOS, which has no posix_fallocate: zeros are written and deleted."""
    monkeypatch.delattr(os, "posix_fallocate")
    real, written = os.pwrite, []

    def pwrite(fd, data, offset):
        if offset > 2 * 2**20 - 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(len(data))
        return real(fd, data, offset)

    monkeypatch.setattr(os, "pwrite", pwrite)
    made = RunFolder.create(tmp_path, room=2**20 + 5)
    assert written[-2:] == [2**20, 5] and not list(made.path.glob(".room*"))
    made.close()
    with pytest.raises(UserError, match="cannot create a run folder there: No space left"):
        RunFolder.create(tmp_path, room=3 * 2**20)
    assert run_names(tmp_path) == [made.name]


def test_results_below_a_file_name_the_flag(tmp_path):
    (tmp_path / "file").write_text("")
    for results in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UserError, match="^--results .*file"):
            RunFolder.create(results)


# ---- episodes


def episode(batch: int, value: float | None = 1.5) -> dict[str, object]:
    return {"batch": batch, "env": 3, "return": value, "length": 10}


def test_episodes_are_appended_and_cut_by_batch(folder):
    folder.append_episodes([])
    assert not (folder.path / "episodes.csv").exists()
    for batch in (0, 0, 1, 3):
        folder.append_episodes([episode(batch), episode(batch, float("nan"))])
    assert len(folder.episodes()) == 8
    folder.truncate(2)
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
    folder.remove_stale()
    for place in (folder.path, folder.checkpoints):
        assert all((place / name).exists() for name in kept)
        assert not any((place / name).exists() for name in gone)


# ---- lock


def test_a_second_process_is_refused_and_told_who_has_the_run(folder):
    pid = os.getpid()

    def second() -> None:
        RunFolder.open(folder.path.parent, "latest").append({"batch": 0})

    metrics = folder.path / "loss_metrics.json"
    before = metrics.read_text()
    refused = in_child(second)
    assert refused.status == 2 and f"process {pid}" in refused.message
    assert metrics.read_text() == before and folder.is_alive()


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
    modules = "ppo.runs.folder, ppo.runs.provenance, ppo.core.signals"
    code = f"import sys, {modules}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_folder_joins_names_as_a_path_does(tmp_path):
    folder = RunFolder.create(tmp_path)
    folder.write_text("note.txt", "here")
    assert folder / "note.txt" == folder.path / "note.txt"
    assert (folder / "note.txt").read_text() == "here"
    folder.close()
