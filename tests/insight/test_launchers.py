"""Jobs that are lost with their node, and the launchers of clusters."""

import os
import stat
import sys
import threading
import time
from pathlib import Path

import pytest

from ppo.core.errors import UserError
from ppo.insight.experiments import launchers
from ppo.insight.experiments.grid import Axis, Plan
from ppo.insight.experiments.launchers.base import LOST
from ppo.insight.experiments.launchers.local import LocalLauncher
from ppo.insight.experiments.run import open_experiment, run_experiment, run_grid_of

TRAINER = Path(__file__).parents[1] / "tools" / "stand_in_trainer.py"


def standing_in(command):
    return [command[0], str(TRAINER), *command[3:]]


def plan(*values, seeds=1):
    return Plan((Axis("ppo.gamma", values),), "full", tuple(range(1, seeds + 1)), None, ())


def starts(experiment):
    folders = sorted((experiment.folder / "jobs").iterdir())
    return [(folder / "started.txt").read_text().split() for folder in folders]


class Unreliable(LocalLauncher):
    """Loses a job the first so many times, once it has saved something."""

    def __init__(self, losses):
        self.losses, self.commands = losses, []

    def start(self, command, output):
        self.commands.append(command)
        handle = super().start(standing_in(command), output)
        handle.folder = output.parent
        return handle

    def poll(self, handle):
        if self.losses and list(handle.folder.glob("run*/checkpoints/*")):
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


def test_a_job_that_is_lost_too_often_is_left_to_the_next_start(tmp_path):
    experiment, launcher = open_experiment(plan("0.9"), tmp_path), Unreliable(3)
    (outcome,) = run_experiment(experiment, launcher, jobs=1, restarts=2)
    assert outcome.status != "finished" and len(launcher.commands) == 3
    assert "its node was lost" in (outcome.folder / "output.txt").read_text()
    (outcome,) = run_experiment(experiment, Unreliable(0), jobs=1)
    assert outcome.status == "finished" and outcome.run.name == "run0001"


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"gpus_per_job": 0.5}, "--gpus-per-job: 0.5: --launcher local hands out no GPUs"),
        ({"gpus_per_job": -1.0}, "--gpus-per-job: -1; allowed: 0 or more"),
        ({"restarts": -1}, "--restarts: -1; allowed: 0 or more"),
        ({"launcher": "slurm"}, "--launcher slurm"),
    ],
)
def test_what_cannot_be_started_leaves_nothing_behind(tmp_path, monkeypatch, asked, words):
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match=words):
        run_grid_of(["ppo.gamma=0.9,0.99"], results=tmp_path / "runs", **asked)
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_without_a_ray_cluster_nothing_is_left_behind(tmp_path):
    pytest.importorskip("ray")
    with pytest.raises(UserError, match="no cluster at"):
        run_grid_of(
            ["ppo.gamma=0.9,0.99"],
            results=tmp_path / "runs",
            launcher="ray",
            address="127.0.0.1:1",
        )
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_a_ray_node_that_dies_loses_no_job(tmp_path, monkeypatch):
    """Eight jobs on two nodes, started elsewhere; one node is killed while it trains."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    from ppo.insight.experiments.launchers.ray import RayLauncher

    class StandInOnRay(RayLauncher):
        def start(self, command, output):
            return super().start(standing_in(command), output)

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        second = cluster.add_node(num_cpus=1)
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        experiment = open_experiment(plan("0.9", "0.8", "0.7", "0.6", seeds=2), Path("runs"))
        launcher = StandInOnRay(cluster.address)
        assert launcher.capacity() == 2
        with pytest.raises(UserError, match="a job takes 0.5 GPU, and the cluster has 0"):
            RayLauncher(cluster.address, gpus=0.5).capacity()
        jobs = tmp_path / "elsewhere" / "runs" / "experiment0001" / "jobs"

        def kill():
            while len(list(jobs.glob("*/run*/checkpoints/*"))) < 3:
                time.sleep(0.1)
            cluster.remove_node(second, allow_graceful=False)

        thread = threading.Thread(target=kill)
        thread.start()
        outcomes = run_experiment(experiment, launcher, jobs=2)
        thread.join()
        assert [outcome.status for outcome in outcomes] == ["finished"] * 8
        assert [len(list(folder.glob("run*"))) for folder in sorted(jobs.iterdir())] == [1] * 8
        assert all(outcome.run.parent.parent == jobs for outcome in outcomes)
    finally:
        ray.shutdown()
        cluster.shutdown()


@pytest.mark.slow
def test_slurm_gets_each_job_once(tmp_path, monkeypatch):
    """With programs that stand for SLURM's own: sbatch runs the script on this machine."""
    pytest.importorskip("submitit")
    programs = {
        "sbatch": f"""#!{sys.executable}
import os, subprocess, sys
script = sys.argv[-1]
number = str(os.getpid())
output = [l.split("=", 1)[1].strip() for l in open(script) if l.startswith("#SBATCH --output")]
out = open(output[0].replace("%j", number).replace("%A", number), "wb")
names = {{"SLURM_JOB_ID": number, "SLURM_NTASKS": "1", "SLURM_JOB_NODELIST": "here",
         "SLURM_JOB_NUM_NODES": "1", "SLURM_NODEID": "0", "SLURM_LOCALID": "0",
         "SLURM_PROCID": "0"}}
subprocess.Popen(["bash", script], stdout=out, stderr=out, env={{**os.environ, **names}})
print("Submitted batch job " + number)
""",
        "srun": f"""#!{sys.executable}
import os, sys
words = sys.argv[1:]
while words and words[0].startswith("-"):
    flag = words.pop(0)
    if "=" not in flag and flag in ("--output", "--error"):
        words.pop(0)
os.execvp(words[0], words)
""",
        "sacct": "#!/bin/sh\necho 'JobID|State|NodeList'\n",
        "scontrol": "#!/bin/sh\necho here\n",
        "scancel": "#!/bin/sh\nkill -TERM $1\n",
    }
    for name, text in programs.items():
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(path.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    launcher = launchers.make("slurm", gpus=1)
    monkeypatch.setattr(
        launcher, "start",
        lambda command, output, start=launcher.start: start(standing_in(command), output),
    )  # fmt: skip
    experiment = open_experiment(plan("0.9", "0.1"), tmp_path / "runs")
    outcomes = run_experiment(experiment, launcher, jobs=launcher.capacity())
    assert [outcome.status for outcome in outcomes] == ["finished", "failed"]
    assert starts(experiment) == [["new"], ["new"]]
    scripts = list(experiment.folder.glob("jobs/*/slurm/[0-9]*.sh"))
    assert len(scripts) == 2 and all("gpus-per-node=1" in path.read_text() for path in scripts)
