"""Many at once: every start gets a folder of its own, a run has one writer."""

from __future__ import annotations

import signal

import pytest
from trials import command

from ppo.runs.folder import RunFolder
from ppo.runs.names import run_names


def start_at_once(zygote, results, count):
    """Sent SIGSTOP as soon as they exist, and let go together."""
    trials = [zygote.start(command(results, 1)) for _ in range(count)]
    for trial in trials:
        trial.send(signal.SIGSTOP)
    for trial in trials:
        trial.send(signal.SIGCONT)
    assert [trial.wait() for trial in trials] == [0] * count, [t.stderr for t in trials]


def check(results, count):
    names = run_names(results)
    assert names == [f"run{number:04d}" for number in range(1, count + 1)]
    for name in names:
        folder = RunFolder.open(results, name)
        assert len(folder.records()) == 1 and folder.status() == "finished"


def test_starts_at_the_same_time_share_no_folder(zygote, tmp_path):
    start_at_once(zygote, tmp_path, 4)
    check(tmp_path, 4)


@pytest.mark.slow
def test_a_hundred_and_sixteen_starts_share_no_folder(zygote, tmp_path):
    """Fifty pairs and sixteen at once."""
    for _ in range(50):
        start_at_once(zygote, tmp_path, 2)
    start_at_once(zygote, tmp_path, 16)
    check(tmp_path, 116)


def test_a_second_resume_of_a_running_run_is_refused(zygote, tmp_path):
    trial = zygote.start(command(tmp_path, 10**6))
    assert trial.until("metrics", 2)
    status, errors = zygote.run(command(tmp_path, 10**6, "--resume", "latest"))
    assert status == 2 and f"in use by process {trial.pid}" in errors, errors
    trial.send(signal.SIGKILL, group=True)
    trial.wait()
    status, errors = zygote.run(command(tmp_path, 3, "--resume", "latest"))
    assert status == 0, errors


@pytest.mark.parametrize("stage", ["an empty folder", "no checkpoint"])
def test_a_run_killed_before_its_first_checkpoint_begins_again(zygote, tmp_path, stage):
    if stage == "an empty folder":
        (tmp_path / "run0001").mkdir(parents=True)
    else:
        trial = zygote.start(command(tmp_path, 5, train__checkpoint_interval=100))
        assert trial.until("update", 3)
        trial.send(signal.SIGKILL)
        trial.wait()
        assert not list(tmp_path.glob("run0001/checkpoints/*"))
    status, errors = zygote.run(command(tmp_path, 5, "--resume", "latest"))
    assert status == 0, errors
    assert len(RunFolder.open(tmp_path, "run0001").records()) == 5
