"""Grids of runs: planned, trained in parallel, interrupted at any point, and compared."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from stand_in_jobs import StandIn, plan, standing_in, starts

from ppo.config import Config
from ppo.core.errors import UserError
from ppo.insight.experiments.experiment import (
    Experiment,
    command,
    has_checkpoint,
    open_experiment,
)
from ppo.insight.experiments.grid import Axis, Plan, parse_axis, plan_of, validate
from ppo.insight.experiments.launchers.base import environment, run_here
from ppo.insight.experiments.run import run_experiment
from ppo.insight.experiments.tables import overview_line, report
from ppo.runs.metrics_file import last_record

ROOT = Path(__file__).parents[2]


def test_an_axis_keeps_brackets_together() -> None:
    assert parse_axis("network.hidden_sizes=[64,64],[32]").values == ("[64,64]", "[32]")
    assert parse_axis("env.kwargs.map=[[1,2],[3]],[{a: 4, b: [5,6]}]").values == (
        "[[1,2],[3]]",
        "[{a: 4, b: [5,6]}]",
    )
    assert parse_axis("ppo.gamma=0.9, 0.99") == Axis("ppo.gamma", ("0.9", "0.99"))


@pytest.mark.parametrize("text", ["ppo.gamma", "ppo.gamma=0.9", "=1,2", "a=1,1", "a=1,"])
def test_an_axis_that_is_none_is_the_users_mistake(text: str) -> None:
    with pytest.raises(UserError):
        parse_axis(text)


def test_designs_hold_each_combination_once() -> None:
    axes = (Axis("a", ("1", "2")), Axis("b", ("x", "y", "z")))
    full = Plan(axes, "full", (1, 2), None, ()).jobs()
    assert len(full) == 12 and len({(job.settings, job.seed) for job in full}) == 12
    out = [job.settings for job in Plan(axes, "leave_one_out", (1,), None, ()).jobs()]
    assert out == [("a=1", "b=x"), ("a=2", "b=x"), ("a=1", "b=y"), ("a=1", "b=z")]
    one = [job.settings for job in Plan(axes, "one_at_a_time", (1,), None, ()).jobs()]
    assert one == [("a=2", "b=z"), ("a=1", "b=z"), ("a=2", "b=x"), ("a=2", "b=y")]


def test_every_mistake_is_named_before_anything_starts(tmp_path: Path) -> None:
    plan = plan_of(["ppo.gama=0.9,0.99"], "full", (1,), None, ["ppo.num_steps=none"])
    with pytest.raises(UserError) as caught:
        open_experiment(plan, tmp_path)
    text = "\n".join(caught.value.messages)
    assert "ppo.gama" in text and "num_steps" in text
    assert list(tmp_path.iterdir()) == []


def test_a_grid_is_trained_and_compared(tmp_path: Path) -> None:
    experiment = open_experiment(plan("0.99", "0.9", seeds=2), tmp_path)
    seen: list[str] = []
    outcomes = run_experiment(
        experiment, StandIn(), jobs=4, watch=lambda o: seen.append(overview_line(o))
    )
    assert [outcome.status for outcome in outcomes] == ["finished"] * 4
    assert any("of 4 finished" in line for line in seen)
    text = report(experiment)
    assert re.search(r"^ 0\.99 +2 ", text, re.M) and re.search(r"^ 0\.9 +2 ", text, re.M)
    assert max(map(len, text.partition("return (last")[0].splitlines())) <= 80
    written = (experiment.folder / "matrix.md").read_text()
    assert re.search(r"\| 0\.99 +\| 2 ", written) and re.search(r"\| 0\.9 +\| 2 ", written)
    assert {"matrix.md", "results.csv", "report.html"} <= {
        path.name for path in experiment.folder.iterdir()
    }


@pytest.mark.parametrize("name", ["plain", os.fsdecode(b"r\xff\xe9")])
def test_finished_runs_are_not_repeated(tmp_path: Path, name: str) -> None:
    tmp_path /= name
    for _ in range(2):
        experiment = open_experiment(plan("0.99", "0.9"), tmp_path)
        run_experiment(experiment, StandIn(), jobs=2)
    assert experiment.folder.name == "experiment0001"
    assert starts(experiment) == [["new"], ["new"]]
    assert open_experiment(plan("0.99", "0.8"), tmp_path).folder.name == "experiment0002"
    again = open_experiment(plan("0.99", "0.9"), tmp_path, fresh=True)
    assert again.folder.name == "experiment0003"
    assert "against the first" in report(experiment)


def test_a_run_of_another_plan_is_never_adopted(tmp_path: Path) -> None:
    """Whatever brought it there: the same name of a folder on another machine, or a copy."""
    other = open_experiment(plan("0.8", "0.7"), tmp_path / "other")
    run_experiment(other, StandIn(), jobs=2)
    experiment = open_experiment(plan("0.99", "0.9"), tmp_path / "own")
    shutil.copytree(other.folder / "jobs", experiment.folder / "jobs")
    assert [outcome.status for outcome in experiment.outcomes()] == ["waiting", "waiting"]
    assert "no run has a record" in report(experiment)
    outcomes = run_experiment(experiment, StandIn(), jobs=2)
    assert [outcome.run.name for outcome in outcomes if outcome.run] == ["run0002", "run0002"]
    assert [last_record(o.run)["mean_episode_return"] for o in outcomes] != [
        last_record(o.run)["mean_episode_return"] for o in other.outcomes()
    ]


@pytest.mark.parametrize("change", ["", "--seed 1 -> --seed 2", "ppo.gamma=0.99 -> ppo.gamma=0.9"])
def test_a_run_without_an_id_is_known_by_its_command(tmp_path: Path, change: str) -> None:
    """Those of earlier versions."""
    experiment = open_experiment(plan("0.99", "0.5"), tmp_path)
    run_experiment(experiment, StandIn(), jobs=2)
    told = experiment.folder / "jobs" / "0001" / "run0001" / "command.txt"
    old, _, new = change.partition(" -> ")
    told.write_text(told.read_text().replace(f" --experiment {experiment.identity}", ""))
    told.write_text(told.read_text().replace(old, new) if old else told.read_text())
    assert experiment.outcomes()[0].status == ("waiting" if change else "finished")


def test_a_job_leaves_with_absolute_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    experiment = open_experiment(plan("0.99", "0.9"), "results")
    line = command(experiment, experiment.outcomes()[0])
    place = line[line.index("--results") + 1]
    assert place == str(tmp_path / "results" / "experiment0001" / "jobs" / "0001")


@pytest.mark.parametrize(
    ("named", "trusted"),
    [(["env.id=mine:Env-v0"], True), ([], False), (["env.id=mine:Other"], False)],
)
def test_a_job_that_goes_on_may_import_what_its_plan_names(
    tmp_path: Path, named: list[str], trusted: bool
) -> None:
    """The machine where it runs may have another state folder; a run without code needs nothing."""
    asked = dataclasses.replace(plan("0.99"), overrides=tuple(named))
    experiment = open_experiment(asked, tmp_path)
    outcome = experiment.outcomes()[0]
    outcome.run = outcome.folder / "run0001"
    (outcome.run / "checkpoints").mkdir(parents=True)
    (outcome.run / "checkpoints" / "one").touch()
    config = Config.load(overrides=["env.id=mine:Env-v0"] if named else [])
    (outcome.run / "config.yaml").write_text(config.to_yaml())
    words = command(experiment, outcome)
    assert "--resume" in words and ("--trust" in words) == trusted


def test_a_job_of_a_cluster_runs_in_the_directory_of_its_experiment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where its own modules are found; there and not where the node was started."""
    (tmp_path / "own").mkdir()
    text = "import os, sys; print(os.getcwd(), sys.path[1:])"
    out, line = str(tmp_path / "out"), [sys.executable, "-c", text]
    done = run_here(line, out, "/a", str(tmp_path / "own"))
    assert done == 0
    assert (tmp_path / "out").read_text().startswith(f"{tmp_path / 'own'} ['/a'")
    gone = run_here(line, out, "/a", str(tmp_path / "no"))
    assert gone == 1
    assert f"error: {tmp_path / 'no'}: is not there on this node" in (tmp_path / "out").read_text()
    monkeypatch.setenv("PYTHONPATH", f"relative{os.pathsep}/absolute")
    monkeypatch.chdir(tmp_path)
    paths = environment()["PYTHONPATH"].split(os.pathsep)
    assert [str(tmp_path / "relative"), "/absolute"] == paths[-2:]


def test_a_failure_stands_alone_and_is_retried_on_demand(tmp_path: Path) -> None:
    experiment = open_experiment(plan("0.1", "0.2", "0.9"), tmp_path)
    outcomes = run_experiment(experiment, StandIn(), jobs=2)
    assert [outcome.status for outcome in outcomes] == ["failed", "failed", "finished"]
    assert outcomes[0].error == "out of luck"
    assert "not finished: gamma=0.1, seed 1 (failed: out of luck)" in report(experiment)
    run_experiment(experiment, StandIn(), jobs=2)
    assert starts(experiment) == [["new"]] * 3
    outcomes = run_experiment(experiment, StandIn(), jobs=2, retry_failed=True)
    assert [outcome.status for outcome in outcomes] == ["failed", "finished", "finished"]


def test_a_folder_that_an_orphan_left_hides_no_finished_run(tmp_path: Path) -> None:
    """It is killed with its parent, when another process has begun the job anew."""
    experiment = open_experiment(plan("0.9"), tmp_path)
    (finished,) = run_experiment(experiment, StandIn())
    (finished.folder / "run0002").mkdir()
    (outcome,) = experiment.outcomes()
    assert (outcome.status, outcome.run) == ("finished", finished.run)
    run_experiment(experiment, StandIn())
    assert starts(experiment) == [["new"]]


DRIVER = """
import sys
sys.path[:0] = [{root!r}, {root!r} + "/tests/tools"]
from pathlib import Path
from stand_in_jobs import StandIn, plan
from ppo.insight.experiments.experiment import open_experiment
from ppo.insight.experiments.run import run_experiment
run_experiment(open_experiment(plan("0.99", "0.9", seeds=3), Path({results!r})), StandIn(), jobs=2)
"""


@pytest.mark.parametrize(
    "number", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_after_a_kill_each_run_is_done_exactly_once(tmp_path: Path, number: signal.Signals) -> None:
    text = DRIVER.format(root=str(ROOT), results=str(tmp_path))
    for pause in (0.9, 1.3, 0.6):
        driver = subprocess.Popen([sys.executable, "-c", text])
        time.sleep(pause)
        driver.send_signal(number)
        driver.wait()
    subprocess.run([sys.executable, "-c", text], check=True, timeout=60)
    experiment = open_experiment(plan("0.99", "0.9", seeds=3), tmp_path)
    outcomes = experiment.outcomes()
    assert [outcome.status for outcome in outcomes] == ["finished"] * 6
    for outcome in outcomes:
        assert outcome.run is not None
        assert last_record(outcome.run)["batch"] == 19
        records = map(last_record, outcome.folder.glob("run*"))  # None: killed before its first
        finished = [record for record in records if record and record["batch"] == 19]
        assert len(finished) == 1
    # A kill between the two steps of its making leaves an empty folder.
    assert len(list(tmp_path.glob("experiment*/experiment.json"))) == 1


def test_a_checkpoint_that_is_half_written_is_none(tmp_path: Path) -> None:
    assert not has_checkpoint(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / ".last.safetensors.tmp-17373").touch()
    assert not has_checkpoint(tmp_path)
    (tmp_path / "checkpoints" / "batch_0000001.safetensors").touch()
    assert has_checkpoint(tmp_path)


def test_children_do_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    text = DRIVER.format(root=str(ROOT), results=str(tmp_path)).replace(
        '"0.99", "0.9"', '"0.3", "0.9"'
    )
    driver = subprocess.Popen([sys.executable, "-c", text])
    experiment = open_experiment(plan("0.3", "0.9", seeds=3), tmp_path / "other")
    jobs = tmp_path / "experiment0001" / "jobs"
    deadline = time.monotonic() + 30
    while not list(jobs.glob("0002/run0001/summary.json")) and time.monotonic() < deadline:
        time.sleep(0.05)
    driver.kill()
    driver.wait()
    experiment = Experiment(tmp_path / "experiment0001", experiment.plan)
    while any(o.status == "running" for o in experiment.outcomes()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert {o.status for o in experiment.outcomes()} <= {"waiting", "killed", "unknown"}


def test_two_settings_make_a_heat_map(tmp_path: Path) -> None:
    axes = (Axis("ppo.gamma", ("0.99", "0.9")), Axis("ppo.gae_lambda", ("0.95", "0.9")))
    experiment = open_experiment(Plan(axes, "full", (1,), None, ()), tmp_path)
    run_experiment(experiment, StandIn(), jobs=4)
    # the stand-in does not know gae_lambda: say what each run was trained with
    for outcome in experiment.outcomes():
        text = "ppo:\n" + "".join(
            f"  {s.split('.', 1)[1].replace('=', ': ')}\n" for s in outcome.job.settings
        )
        assert outcome.run is not None
        (outcome.run / "config.yaml").write_text(text)
    assert re.search(r" ppo.gamma \\ ppo.gae_lambda +0.95 +0.9", report(experiment))
    written = (experiment.folder / "matrix.md").read_text()
    assert "| ppo.gamma \\ ppo.gae_lambda | 0.95 | 0.9 |" in written
    page = (experiment.folder / "report.html").read_text()
    assert page.count("color-mix") == 4


def test_without_ray_the_launcher_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from ppo.insight.experiments.launchers.ray import RayLauncher

    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match="pip install"):
        RayLauncher()


@pytest.mark.slow
def test_the_real_trainer_survives_a_kill_of_its_experiment(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ppo", "--mode", "ablate", "--quiet", "--seeds", "2"]
    command += ["--jobs", "2", "--results", str(tmp_path), "--config", "configs/cartpole.yaml"]
    command += ["--set", "train.total_timesteps=20000", "--set", "train.checkpoint_interval=2"]
    command += ["--toggle", "ppo.normalize_returns=true,false"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    first = subprocess.Popen(command, cwd=ROOT, env=environment)
    jobs = tmp_path / "experiment0001" / "jobs"
    deadline = time.monotonic() + 120
    while not list(jobs.glob("*/run0001/checkpoints/*")) and time.monotonic() < deadline:
        time.sleep(0.1)
    first.kill()
    first.wait()
    second = subprocess.run(
        command, cwd=ROOT, env=environment, timeout=300, check=True, capture_output=True, text=True
    )
    runs = list(jobs.glob("*/run*"))
    assert len(runs) == 4
    assert {last_record(run)["env_steps"] for run in runs} == {20480 + 400}  # of the look
    assert "against the first" in second.stdout


@pytest.mark.slow
def test_a_ray_cluster_of_two_nodes_trains_the_same_jobs(tmp_path: Path) -> None:
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    from ppo.insight.experiments.launchers.ray import RayLauncher

    class StandInOnRay(RayLauncher):
        def start(self, command: list[str], output: Path) -> object:
            return super().start(standing_in(command), output)

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        cluster.add_node(num_cpus=1)
        experiment = open_experiment(plan("0.99", "0.9", "0.1", seeds=2), tmp_path)
        outcomes = run_experiment(experiment, StandInOnRay(cluster.address), jobs=2)
        assert len(ray.nodes()) == 2
        assert [outcome.status for outcome in outcomes] == ["finished"] * 4 + ["failed"] * 2
    finally:
        ray.shutdown()
        cluster.shutdown()


def test_one_value_written_in_two_ways_is_no_axis(tmp_path: Path) -> None:
    """Its runs would be counted as twice as many seeds."""
    for text, fault in {
        "ppo.learning_rate=1e-3,3e-4,0.001": "ppo.learning_rate: 1e-3 and 0.001 are the same value",
        "ppo.normalize_returns=true,True": "ppo.normalize_returns: true and True are the same",
        "env.kwargs.g=1.0,1.00": "env.kwargs.g: 1.0 and 1.00 are the same value",
    }.items():
        plan = Plan((parse_axis(text), parse_axis("ppo.gamma=0.9,0.99")), "full", (1,), None, ())
        with pytest.raises(UserError, match=re.escape(fault)) as caught:
            validate(plan)
        assert len(caught.value.messages) == 1
    kept = "ppo.learning_rate=1e-3,1e-4", "network.hidden_sizes=[64],[64,64]", "env.kwargs.g=1,2"
    validate(Plan(tuple(map(parse_axis, kept)), "full", (1,), None, ()))


def test_a_key_that_does_not_exist_is_told_once() -> None:
    plan = Plan((parse_axis("ppo.gama=0.9,0.99,0.999"),), "full", (1,), None, ())
    with pytest.raises(UserError) as caught:
        validate(plan)
    assert caught.value.messages == ["ppo.gama: unknown; did you mean ppo.gamma?"]


def test_a_value_that_cannot_be_is_told_without_a_flag_that_nobody_typed() -> None:
    plan = Plan((parse_axis("ppo.gamma=0.9,2"),), "full", (1,), None, ())
    with pytest.raises(UserError) as caught:
        validate(plan)
    assert caught.value.messages == ["ppo.gamma=2: must be a number from 0 to 1"]
