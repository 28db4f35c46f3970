"""Jobs that are lost with their node, and the launchers of clusters."""

import os
import shutil
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from ppo.core.errors import UserError
from ppo.insight.experiments import launchers
from ppo.insight.experiments.grid import Axis, Plan
from ppo.insight.experiments.launchers.base import LOST, run_here
from ppo.insight.experiments.launchers.local import LocalLauncher
from ppo.insight.experiments.launchers.ray import pack
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


def test_a_node_without_the_working_directory_works_in_a_copy(tmp_path, monkeypatch):
    work, modules = tmp_path / "work", tmp_path / "modules"
    for place, name in ((work, "here"), (modules, "there"), (work / ".hidden", "not_this")):
        place.mkdir()
        (place / f"{name}.py").write_text(f"WORD = {name!r}")
    (work / "data.npz").write_bytes(b"0")
    copies = pack([str(work), str(modules)], tmp_path / "node")
    found = {p.relative_to(tmp_path / "node").as_posix() for p in (tmp_path / "node").rglob("*.*")}
    assert found == {"place0/here.py", "place1/there.py"}
    shutil.move(work, tmp_path / "gone")
    shutil.move(modules, tmp_path / "gone too")
    monkeypatch.chdir(tmp_path / "node")
    words = ["/no/such/python", "-c", "import here, there; print(here.WORD, there.WORD)"]
    assert run_here(words, str(tmp_path / "out"), str(modules), str(work), copies) == 0
    assert (tmp_path / "out").read_text() == "here there\n"


def test_sources_that_are_too_large_stay_behind(tmp_path, monkeypatch):
    monkeypatch.setattr("ppo.insight.experiments.launchers.ray.LARGEST", 8)
    for name, text in (("large", "# more than that"), ("small", "# less")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "own.py").write_text(text)
    places = [str(tmp_path / name) for name in ("large", "small")]
    assert pack(places, tmp_path / "node") == {places[1]: "place1"}
    assert run_here([sys.executable], str(tmp_path / "out"), "", "/no/such", {}) == 1
    assert "too large to travel" in (tmp_path / "out").read_text()


SWEEP = """
import shutil, sys
from pathlib import Path
from ppo.insight.experiments.grid import Axis, Plan
from ppo.insight.experiments.launchers.ray import RayLauncher
from ppo.insight.experiments.run import open_experiment, run_experiment

class StandIn(RayLauncher):
    def start(self, command, output):
        words = [f"import own, runpy, sys; print(own.WORD); sys.argv = {command[2:]!r}",
                 f"sys.path.insert(0, {str(Path(trainer).parent)!r})",
                 f"runpy.run_path({trainer!r}, run_name='__main__')"]
        return super().start([command[0], "-c", "; ".join(words)], output)

address, trainer, results = sys.argv[1:]
gammas = ("0.9", "0.8") if Path.cwd().name == "one" else ("0.9", "0.7")
plan = Plan((Axis("ppo.gamma", gammas),), "full", (1, 2), None, ())
experiment, launcher = open_experiment(plan, Path(results)), StandIn(address)
shutil.move(Path.cwd(), f"{Path.cwd()} is not on the node")
outcomes = run_experiment(experiment, launcher, jobs=2)
assert [outcome.status for outcome in outcomes] == ["finished"] * 4, outcomes
"""


@pytest.mark.slow
def test_two_sweeps_at_once_do_not_mix_and_own_modules_travel(tmp_path):
    """Each from a folder of its own, which the node has not; both write into one results folder."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    root = Path(__file__).parents[2]
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2})
    try:
        sweeps = []
        for word in ("one", "two"):
            (tmp_path / word).mkdir()
            (tmp_path / word / "own.py").write_text(f"WORD = {word!r}")
            argv = [sys.executable, "-c", SWEEP, cluster.address, str(TRAINER), "../runs"]
            sweeps.append(
                subprocess.Popen(
                    argv,
                    cwd=tmp_path / word,
                    env=os.environ | {"PYTHONPATH": str(root)},
                    stderr=subprocess.PIPE,
                    text=True,
                )  # fmt: skip
            )
        errors = [sweep.communicate(timeout=500)[1] for sweep in sweeps]
        assert [sweep.returncode for sweep in sweeps] == [0, 0], errors
    finally:
        cluster.shutdown()
    experiments = sorted((tmp_path / "runs").glob("experiment*"))
    words = []
    for experiment in experiments:
        jobs = sorted((experiment / "jobs").iterdir())
        assert [len(list(job.glob("run*"))) for job in jobs] == [1] * 4
        words.append({(job / "output.txt").read_text().splitlines()[0] for job in jobs})
    assert sorted(map(sorted, words)) == [["one"], ["two"]]


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
