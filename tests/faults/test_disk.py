"""A disk that is full or broken: one line, earlier data whole, and the run goes on later."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fault_shim import CRASH, record_operations, run_with_fault
from trials import assert_readable, assert_same, command, result, resuming, settings

from ppo import Config, Trainer
from ppo.runs.folder import RunFolder
from ppo.runs.names import run_names

BATCHES = 6
FAULTS = ("full", "ENOSPC", "EIO", "short")
FEW = [0.05, 0.3, 0.5, 0.7, 0.9, 0.98]  # shares of the operations of a run


def train(results: Path) -> None:
    resume = "latest" if run_names(results) else None
    Trainer(Config.from_dict({}, settings(BATCHES)), results, resume=resume).train()


@pytest.fixture(scope="module")
def healthy(tmp_path_factory):
    """The result of a healthy run, and how many file operations it made."""
    results = tmp_path_factory.mktemp("healthy")
    operations = record_operations(results, lambda: train(results))
    return result(results), len(operations)


def check(results, healthy, at, fault):
    outcome = run_with_fault(results, lambda: train(results), at, fault)
    assert outcome.status != CRASH, outcome.message
    if outcome.status:
        assert outcome.status in (1, 2)
        assert len(outcome.message.splitlines()) == 1, outcome.message
        assert str(results.name) in outcome.message or "run0001" in outcome.message
    assert_readable(results)
    if not run_names(results):
        assert outcome.status == 2, "a start that fails leaves no run behind"
    train(results)  # there is room again
    assert_same(result(results), healthy[0])
    return outcome.status


@pytest.mark.parametrize("share", FEW)
def test_a_full_disk_costs_a_line_and_no_data(tmp_path, healthy, share):
    check(tmp_path / "r", healthy, int(share * healthy[1]), "full")


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_every_file_operation_of_a_training_refused(tmp_path, healthy, fault):
    step = int(os.environ.get("PPO_TEST_DISK_STEP", "1"))
    statuses = [check(tmp_path / str(at), healthy, at, fault) for at in range(0, healthy[1], step)]
    counted = {status: statuses.count(status) for status in set(statuses)}
    print(f"{fault}: {len(statuses)} of {healthy[1]} operations, exit statuses {counted}")


def test_an_evaluation_that_could_not_be_saved_is_done_once_more(tmp_path, healthy):
    """Its operations are those after the fourth batch; each is refused once."""
    operations = record_operations(tmp_path / "count", lambda: train(tmp_path / "count"))
    touched = [i for i, o in enumerate(operations) if "evaluations" in o.path or "best" in o.path]
    for at in touched[:: max(1, len(touched) // 6)]:
        check(tmp_path / str(at), healthy, at, "ENOSPC")


def test_a_folder_that_cannot_be_made_is_said_before_the_first_step(zygote, tmp_path):
    (tmp_path / "file").write_text("")
    status, errors = zygote.run(command(tmp_path / "file" / "results", 1))
    assert status == 2 and "--results" in errors and "Traceback" not in errors


@pytest.mark.slow
def test_a_training_on_a_disk_that_is_really_full(tmp_path):
    """A tmpfs of 300 kB, with TensorBoard."""
    disk = tmp_path / "disk"
    disk.mkdir()
    root = Path(__file__).parents[2]
    mount = 'mount -t tmpfs -o size=300k none "$0"; "$@"; s=$?; cp -r "$0"/run* "$0"/..; exit $s'
    private = ["unshare", "--mount", "--map-root-user", "sh", "-c", mount, str(disk)]
    allowed = ["unshare", "--mount", "--map-root-user", "mount", "-t", "tmpfs", "none", str(disk)]
    if subprocess.run(allowed, capture_output=True).returncode:
        pytest.skip("this machine allows no private mount")
    argv = command(disk, 10**4, logging__tensorboard="true")
    done = subprocess.run(
        [*private, sys.executable, str(root / "train_cli.py"), *argv],
        capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(root)},
    )  # fmt: skip
    errors = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert done.returncode == 1 and len(errors) == 1, done.stderr
    assert "ENOSPC" in errors[0] and "Traceback" not in done.stderr
    count = assert_readable(tmp_path)
    assert count > 10
    assert RunFolder.open(tmp_path, "run0001").records()[-1]["batch"] == count - 1
    done = subprocess.run(
        [sys.executable, str(root / "train_cli.py"), *resuming(tmp_path, count + 3)],
        capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(root)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
