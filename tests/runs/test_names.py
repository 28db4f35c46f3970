"""Names of runs, and where they may lie."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from ppo.core.errors import UserError
from ppo.runs.folder import RunFolder
from ppo.runs.metrics_file import read_records
from ppo.runs.names import run_names


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


@pytest.mark.parametrize("count", [2, 8])
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
        assert '"run": "my best run"' in (again.path / "loss_metrics.json").read_text()
    subprocess.run(["cp", "-r", moved, tmp_path / "copy"], check=True)
    with RunFolder.open(tmp_path, str(tmp_path / "copy")) as copy:
        copy.append({"batch": 2})
    assert len(read_records(moved)) == 2 and len(read_records(tmp_path / "copy")) == 3


def test_a_linked_results_folder_works(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    RunFolder.create(tmp_path / "link").close()
    assert RunFolder.open(tmp_path / "link", "run0001").records() == []
