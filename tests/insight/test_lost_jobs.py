"""Jobs that are lost with their node, and experiments that cannot be started."""

import os

import pytest
from stand_in_jobs import StandIn, plan

from ppo.cli.main import main
from ppo.core.errors import UserError
from ppo.insight.experiments.experiment import open_experiment
from ppo.insight.experiments.launchers.base import LOST
from ppo.insight.experiments.run import run_experiment
from ppo.insight.experiments.tables import Overview


class Unreliable(StandIn):
    """Loses a job the first so many times, once it has saved something."""

    def __init__(self, losses):
        self.losses, self.commands = losses, []

    def start(self, command, output):
        self.commands.append(command)
        handle = super().start(command, output)
        handle.folder = output.parent
        return handle

    def poll(self, handle):
        if self.losses and list(handle.folder.glob("run*/checkpoints/kept.json")):
            self.losses -= 1
            handle.kill()
            handle.wait()
            return LOST
        return super().poll(handle)


def resumed(launcher):
    return ["--resume" in command for command in launcher.commands]


def test_a_job_that_is_lost_goes_on_where_it_was(tmp_path):
    experiment, launcher = open_experiment(plan("0.9"), tmp_path), Unreliable(2)
    (outcome,) = run_experiment(experiment, launcher, jobs=1, restarts=2)
    assert outcome.status == "finished" and outcome.run.name == "run0001"
    assert resumed(launcher) == [False, True, True]


class LostAtOnce(StandIn):
    """The first starts are lost before there is a run, after a warning of some library."""

    def __init__(self, losses=1):
        self.starts, self.losses = 0, losses

    def start(self, command, output):
        self.starts += 1
        if self.starts <= self.losses:
            output.write_text("warning: the error of rounding is larger here\n")
            return None
        return super().start(command, output)

    def poll(self, handle):
        return LOST if handle is None else super().poll(handle)


def test_a_job_that_is_lost_before_it_has_a_run_is_started_again(tmp_path):
    launcher = LostAtOnce()
    (outcome,) = run_experiment(open_experiment(plan("0.9"), tmp_path), launcher, jobs=1)
    assert outcome.status == "finished" and launcher.starts == 2


def test_a_job_that_is_lost_too_often_is_left_to_the_next_start(tmp_path):
    experiment, launcher = open_experiment(plan("0.9"), tmp_path), Unreliable(3)
    (outcome,) = run_experiment(experiment, launcher, jobs=1, restarts=2)
    assert outcome.status != "finished" and len(launcher.commands) == 3
    assert "its node was lost" in (outcome.folder / "output.txt").read_text()
    (outcome,) = run_experiment(experiment, Unreliable(0), jobs=1)
    assert outcome.status == "finished" and outcome.run.name == "run0001"


def test_a_job_that_never_had_a_run_is_tried_again_at_the_next_start(tmp_path, capsys):
    experiment, launcher = open_experiment(plan("0.9"), tmp_path), LostAtOnce(losses=3)
    overview = Overview()
    (outcome,) = run_experiment(experiment, launcher, jobs=1, restarts=2, watch=overview)
    assert (outcome.status, outcome.error) == ("killed", "its node was lost")
    assert "killed gamma=0.9, seed 1: its node was lost" in capsys.readouterr().err
    (outcome,) = run_experiment(experiment, launcher, jobs=1)
    assert outcome.status == "finished" and launcher.starts == 4


def test_the_same_experiment_is_run_by_one_process_at_a_time(tmp_path):
    """Two would train each job twice."""
    experiment = open_experiment(plan("0.9"), tmp_path)
    again = open_experiment(plan("0.9"), tmp_path)
    met = []

    def watch(outcomes):
        if not met:
            with pytest.raises(UserError, match=f"by process {os.getpid()}; wait .*--fresh"):
                run_experiment(again, Unreliable(0), jobs=1)
            met.append(True)

    (outcome,) = run_experiment(experiment, Unreliable(0), jobs=1, watch=watch)
    assert met and outcome.status == "finished"
    assert run_experiment(again, Unreliable(0), jobs=1)[0].run == outcome.run


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (["--gpus-per-job", "0.5"], "--gpus-per-job: 0.5: --launcher local hands out no GPUs"),
        (["--gpus-per-job=-1.0"], "--gpus-per-job: -1; allowed: 0 or more"),
        (["--restarts=-1"], "--restarts: -1; allowed: 0 or more"),
        (["--launcher", "slurm"], "--launcher slurm"),
    ],
)
def test_what_cannot_be_started_leaves_nothing_behind(tmp_path, monkeypatch, capsys, asked, words):
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    flags = ["--results", str(tmp_path / "runs"), *asked]
    assert main(["--mode", "sweep", "--vary", "ppo.gamma=0.9,0.99", *flags]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
