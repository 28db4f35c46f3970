"""Trackers get every figure, go on with their run after a resume, and never end a training."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import own_tracker
import pytest
from learner_tools import records, settings

import ppo
from ppo import Trainer
from ppo.core.errors import UserError

FORM = {"train__total_timesteps": 64 * 4, "evaluation__interval": 2}


@pytest.fixture(autouse=True)
def calls():
    own_tracker.CALLS.clear()
    return own_tracker.CALLS


def train(folder, *trackers, resume=None, batches=None):
    config = settings("CartPole-v1", **FORM, logging__trackers=str(list(trackers)))
    with Trainer(config, folder, resume=resume) as trainer:
        trainer.train(batches=batches)
        return trainer.folder.path


def test_a_tracker_gets_the_figures_of_the_records(tmp_path, calls):
    run = train(tmp_path, "own_tracker:Keeps")
    assert calls[0] == ("start", "run0001", "CartPole-v1", None) and calls[-1] == (
        "end",
        "finished",
    )
    logged = [(step, values) for kind, step, values in calls[1:-1] if kind == "log"]
    batches = [values for _, values in logged if "policy/approx_kl" in values]
    assert [v["policy/approx_kl"] for v in batches] == [r["approx_kl"] for r in records(run)]
    assert [step for step, v in logged if "evaluation/mean_return" in v] == [128, 256]
    assert records(run) == records(train(tmp_path))


def test_a_resumed_run_goes_on_with_the_tracker_s_run(tmp_path, calls):
    train(tmp_path, "own_tracker:Keeps", batches=2)
    train(tmp_path, "own_tracker:Keeps", resume="run0001")
    assert [call for call in calls if call[0] == "start"] == [
        ("start", "run0001", "CartPole-v1", None), ("start", "run0001", "CartPole-v1", "id-7"),
    ]  # fmt: skip


def test_a_fault_is_told_once_and_ends_nothing(tmp_path, calls, capsys):
    run = train(tmp_path, "own_tracker:FailsAtStart", "own_tracker:Fails", "own_tracker:Keeps")
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 2 and told[0].endswith("at all'); training goes on")
    events = [e for r in records(run) for e in r["events"] if "training goes on" in e]
    assert len(events) == 2
    assert len([call for call in calls if call[0] == "tried"]) == 3  # then it is left alone
    assert calls[-1] == ("end", "finished")


@pytest.mark.parametrize(
    ("tracker", "told"),
    [
        ("wandbb", "logging.trackers: wandbb: allowed: .*; did you mean wandb"),
        ("own_tracker:None", "has no None"),
        ("own_tracker:NeedsMore", "own_tracker:NeedsMore"),
        (
            "own_tracker:Mute",
            r"Mute: it has no start and no end; write start\(run, settings, known",
        ),
        ("nowhere:Class", "nowhere"),
    ],
)
def test_one_that_cannot_be_made_is_refused_in_a_line(tmp_path, tracker, told):
    with pytest.raises(UserError, match=told) as error:
        train(tmp_path, tracker)
    assert len(error.value.messages) == 1 and not list(tmp_path.iterdir())


def test_a_missing_package_is_a_line_with_the_extra(tmp_path, monkeypatch):
    monkeypatch.setattr("ppo.core.program.checkout", lambda: None)  # installed from a wheel
    for name in ("wandb", "mlflow", "trackio"):
        monkeypatch.setitem(sys.modules, name, None)
        line = rf'extra "{name}": pip install "ppo-stable-values\[{name}\]"'
        with pytest.raises(UserError, match=line):
            train(tmp_path, name)


def test_tensorboard_is_one_of_them(tmp_path):
    assert list((train(tmp_path, "tensorboard") / "tensorboard").iterdir())
    assert not (train(tmp_path) / "tensorboard").exists()


def in_process(folder: Path, code: str) -> str:
    """What a fresh interpreter prints, offline and with its home in `folder`."""
    env = {**os.environ, "WANDB_MODE": "offline", "HOME": str(folder), "WANDB_SILENT": "true",
           "TRACKIO_DIR": str(folder / "trackio"), "MLFLOW_TRACKING_URI": "",
           "PYTHONPATH": os.pathsep.join([str(Path(ppo.__file__).parents[1]),
                                          str(Path(own_tracker.__file__).parent)])}  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "training goes on" not in done.stderr, done.stderr
    return done.stdout


TRAIN = """
import sys
from learner_tools import settings
from ppo import Trainer
config = settings("CartPole-v1", train__total_timesteps=256, evaluation__interval=2,
                  logging__trackers="[{name}]")
Trainer(config, "runs").train(batches=2)
Trainer(config, "runs", resume="run0001").train()
"""


@pytest.mark.slow
def test_mlflow_has_one_run_with_all_batches(tmp_path):
    pytest.importorskip("mlflow")
    out = in_process(tmp_path, TRAIN.format(name="mlflow") + """
from mlflow.tracking import MlflowClient
client = MlflowClient("sqlite:///runs/mlflow.db")
runs = client.search_runs([client.get_experiment_by_name("ppo").experiment_id])
history = client.get_metric_history(runs[0].info.run_id, "policy/approx_kl")
print(len(runs), runs[0].info.status, [m.step for m in history], runs[0].data.params["env.id"])
""")  # fmt: skip
    assert out.splitlines()[-1] == "1 FINISHED [64, 128, 192, 256] CartPole-v1"


@pytest.mark.slow
def test_trackio_has_one_run_with_all_batches(tmp_path):
    pytest.importorskip("trackio")
    out = in_process(tmp_path, TRAIN.format(name="trackio") + """
from trackio import Api
runs = list(Api().runs("ppo"))
import trackio
from trackio.sqlite_storage import SQLiteStorage
logs = SQLiteStorage.get_logs("ppo", runs[0].name)
print(len(runs), runs[0].name, sorted({row["step"] for row in logs if "policy/approx_kl" in row}))
""")  # fmt: skip
    assert "1 runs-run0001 [64, 128, 192, 256]" in out.splitlines()  # it prints more at its end


@pytest.mark.slow
def test_wandb_goes_on_with_one_run_offline(tmp_path):
    pytest.importorskip("wandb")
    in_process(tmp_path, TRAIN.format(name="wandb"))
    kept = [path.name for path in (tmp_path / "runs" / "run0001" / "wandb").glob("offline-run-*")]
    assert len(kept) == 2 and len({name.rpartition("-")[2] for name in kept}) == 1


@pytest.mark.slow
def test_wandb_sees_the_event_files(tmp_path):
    pytest.importorskip("wandb")
    out = in_process(tmp_path, """
import wandb
from learner_tools import settings
from ppo import Trainer
run = wandb.init(project="p", sync_tensorboard=True)
config = settings("CartPole-v1", train__total_timesteps=256, logging__tensorboard="true")
Trainer(config, "runs").train()
run.finish()
from pathlib import Path
data = next(Path("wandb").glob("offline-run-*/*.wandb")).read_bytes()
print(b"approx_kl" in data)
""")  # fmt: skip
    assert "True" in out.splitlines()
