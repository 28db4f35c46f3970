"""The launchers of one machine and of clusters: Ray and Slurm."""

import _thread
import os
import shutil
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from stand_in_jobs import TRAINER, plan, standing_in, starts

from ppo.cli.main import main
from ppo.core.errors import UserError
from ppo.insight.experiments import launchers
from ppo.insight.experiments.experiment import open_experiment
from ppo.insight.experiments.launchers.base import FORCE, PATIENCE, run_here
from ppo.insight.experiments.launchers.ray import RayLauncher, pack
from ppo.insight.experiments.run import run_experiment
from ppo.runs.files import process_alive


def test_as_many_jobs_run_here_as_there_are_cores_for_this_process(monkeypatch):
    """A container, or `taskset`, may leave it fewer than the machine has."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3}, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    assert launchers.make("local").capacity() == 1


DEAF = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(os.getpid(), flush=True)
time.sleep(300)
"""


def number_in(output):
    """The process number that a command printed, once it has."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if output.exists() and (text := output.read_text()).endswith("\n"):
            return int(text)
        time.sleep(0.05)
    raise AssertionError("it never began")


def test_a_cancelled_task_kills_the_command_that_does_not_end(tmp_path, monkeypatch):
    monkeypatch.setattr("ppo.insight.experiments.launchers.base.PATIENCE", 0.2)
    output = tmp_path / "out"

    def cancel():
        number_in(output)
        _thread.interrupt_main()  # as Ray does it: a system call that waits goes on waiting

    thread, begun = threading.Thread(target=cancel), time.monotonic()
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        run_here([sys.executable, "-c", DEAF], str(output), "", str(tmp_path))
    thread.join()
    assert time.monotonic() - begun < 60 and not process_alive(number_in(output))


class FakeRay:
    """Ray's own names; a task ends only when it is cancelled by force."""

    def __init__(self):
        self.calls, self.done = [], False

    def is_initialized(self):
        return True

    def remote(self, **share):
        return lambda function: function

    def cancel(self, handle, force):
        self.calls.append(("cancel", handle, force))
        self.done = force

    def wait(self, handles, timeout):
        self.calls.append(("wait", timeout))
        return (handles, []) if self.done else ([], handles)


def test_a_ray_task_that_does_not_end_is_cancelled_by_force(monkeypatch):
    ray = FakeRay()
    monkeypatch.setitem(sys.modules, "ray", ray)
    launcher = RayLauncher()
    launcher.stop("task")
    launcher.wait("task")
    node, force = PATIENCE + FORCE, FORCE  # the node kills its command first
    asked = [("cancel", "task", False), ("wait", node), ("cancel", "task", True), ("wait", force)]
    assert ray.calls == asked
    launcher.wait("task")
    assert ray.calls == [*asked, ("wait", node)]


@pytest.mark.parametrize("ends", [True, False])
def test_a_slurm_job_that_does_not_end_is_killed(tmp_path, monkeypatch, ends):
    for name, text in (("sbatch", ""), ("scancel", f'echo "$@" >> {tmp_path / "killed"}')):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setitem(sys.modules, "submitit", SimpleNamespace())
    for name in ("PATIENCE", "FORCE", "LOOK"):
        monkeypatch.setattr(f"ppo.insight.experiments.launchers.slurm.{name}", 0.05)
    launchers.make("slurm").wait(SimpleNamespace(job_id="77", done=lambda: ends))
    killed = tmp_path / "killed"
    assert ends != killed.exists() and (ends or "--signal=KILL --full 77" in killed.read_text())


@pytest.mark.slow
def test_a_ray_task_is_stopped_and_its_deaf_command_killed(tmp_path, monkeypatch):
    """By Ray itself: its cancel reaches the command at once, and the node kills at last."""
    ray = pytest.importorskip("ray")
    ray.init(num_cpus=2, log_to_driver=False, include_dashboard=False)
    try:
        launcher = RayLauncher()
        for name, code in (("deaf", DEAF), ("polite", DEAF.replace("SIG_IGN", "SIG_DFL"))):
            handle = launcher.start([sys.executable, "-c", code], tmp_path / name)
            number, begun = number_in(tmp_path / name), time.monotonic()
            launcher.stop(handle)
            launcher.wait(handle)
            took = time.monotonic() - begun
            assert not process_alive(number) and launcher.poll(handle) is not None
            assert took < 10 if name == "polite" else took >= PATIENCE
    finally:
        ray.shutdown()


@pytest.mark.slow
def test_without_a_ray_cluster_nothing_is_left_behind(tmp_path, capsys):
    pytest.importorskip("ray")
    flags = ["--results", str(tmp_path / "runs"), "--launcher", "ray", "--address", "127.0.0.1:1"]
    assert main(["--mode", "sweep", "--vary", "ppo.gamma=0.9,0.99", *flags]) == 2
    assert "no cluster at" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_a_ray_node_that_dies_loses_no_job(tmp_path, monkeypatch):
    """Eight jobs on two nodes, started elsewhere; one node is killed while it trains."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

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
from ppo.insight.experiments.experiment import open_experiment
from ppo.insight.experiments.run import run_experiment

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
