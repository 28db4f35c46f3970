"""A run killed at any of its file operations leaves readable files and ends as if left alone."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import pytest
import tiny_run
from fault_shim import CRASH, REFUSALS, Shim, in_child, record_operations, run_with_fault

KILLS = ("before", "torn", "after")


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """What the run leaves when nothing happens, and how many operations it has."""
    results = tmp_path_factory.mktemp("reference")
    operations = record_operations(results, partial(tiny_run.train_with_interruption, results))
    return tiny_run.outcome(results), operations


def finish(results: Path) -> None:
    with Shim(results):
        tiny_run.train(results)


def kill_and_finish(results: Path, at: int, fault: str, expected: dict) -> None:
    results.mkdir()
    work = partial(tiny_run.train_with_interruption, results)
    ended = run_with_fault(results, work, at, fault)
    assert ended.status == -9, (at, fault, ended)
    tiny_run.assert_readable(results)
    finish(results)
    assert tiny_run.outcome(results) == expected, (at, fault)
    shutil.rmtree(results)


def test_the_interrupted_run_ends_as_the_straight_one(tmp_path, reference):
    tiny_run.train(tmp_path)
    assert tiny_run.outcome(tmp_path) == reference[0]


def test_the_shim_sees_every_kind_of_operation(reference):
    names = {operation.name for operation in reference[1]}
    assert {"open", "pwrite", "fsync", "replace", "rename", "link", "unlink", "mkdir"} <= names
    assert len(reference[1]) * len(KILLS) >= 400


@pytest.mark.parametrize("fault", KILLS)
def test_a_killed_run_ends_as_if_left_alone(tmp_path, reference, fault):
    expected, operations = reference
    # Every 8th operation, other ones for each kind of kill; all of them when slow.
    for at in range(KILLS.index(fault), len(operations), 8):
        kill_and_finish(tmp_path / str(at), at, fault, expected)


@pytest.mark.slow
@pytest.mark.parametrize("fault", KILLS)
def test_a_run_killed_at_any_operation_ends_as_if_left_alone(tmp_path, reference, fault):
    expected, operations = reference
    for at in range(len(operations)):
        kill_and_finish(tmp_path / str(at), at, fault, expected)


@pytest.mark.slow
def test_a_run_killed_again_and_again_ends_as_if_left_alone(tmp_path, reference):
    expected, operations = reference
    for step in (7, 13, 29, 41, 60, 83):  # each resume dies after `step` operations
        results = tmp_path / str(step)
        results.mkdir()
        for _ in range(200):
            ended = run_with_fault(results, partial(tiny_run.train, results), step, "torn")
            tiny_run.assert_readable(results)
            if ended.status == 0:
                break
            assert ended.status == -9, ended
        finish(results)
        assert tiny_run.outcome(results) == expected


def refuse_and_finish(results: Path, at: int, fault: str, expected: dict) -> str:
    """A refused operation: one line that names the folder, and nothing lost."""
    results.mkdir()
    work = partial(tiny_run.train_with_interruption, results)
    ended = run_with_fault(results, work, at, fault)
    assert ended.status in (0, 1, 2), (at, fault, ended)
    assert ended.status != CRASH
    if ended.status:
        first, *rejected = ended.message.splitlines()
        assert all(str(results) in line for line in [first, *rejected])
        assert not rejected or "no usable checkpoint" in first, (at, fault, ended)
        assert f"({fault})" in ended.message or fault == "full" and "ENOSPC" in ended.message
    if ended.status == 2:
        assert ended.message.startswith("--results")
        assert not list(results.iterdir()), "a failed start leaves no run number behind"
    tiny_run.assert_readable(results)
    finish(results)
    assert tiny_run.outcome(results) == expected, (at, fault, ended)
    shutil.rmtree(results)
    return ended.message


FAULTS = ("full", "short", *("ENOSPC", "EIO", "EROFS", "EACCES"))


def test_a_refused_operation_gives_one_line_and_loses_nothing(tmp_path, reference):
    expected, operations = reference
    for at in range(0, len(operations), 5):
        refuse_and_finish(tmp_path / str(at), at, FAULTS[at % len(FAULTS)], expected)


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_any_refused_operation_gives_one_line_and_loses_nothing(tmp_path, reference, fault):
    expected, operations = reference
    for at in range(len(operations)):
        refuse_and_finish(tmp_path / str(at), at, fault, expected)


def test_the_faults_are_those_a_disk_has():
    assert len(REFUSALS) == 4 and in_child(lambda: 1 / 0).status == CRASH
