"""Where a run lands: relative to where the trainer was started, wherever an environment goes."""

import os
from pathlib import Path

import pytest

from ppo import Config, Trainer
from ppo.cli import main
from ppo.core.errors import UserError
from ppo.policies.demonstrate import demonstrate
from ppo.policies.evaluate import evaluate, render
from ppo.policies.policy import load_policy


def config(folder, *more):
    return Config.from_dict(
        {},
        [
            "env.id=moving_env:Moves-v0", f"env.kwargs.to={folder}", "env.num_envs=2",
            "ppo.num_steps=10", "ppo.num_minibatches=1", "ppo.num_epochs=1",
            "train.total_timesteps=40", "env.calibration_steps=4", "evaluation.episodes=2",
            "network.hidden_sizes=[8]", "system.compile=never", *more,
        ],
    )  # fmt: skip


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "elsewhere"


@pytest.mark.parametrize("when", ["init", "reset", "step"])
def test_a_run_lands_where_it_was_started(elsewhere, when):
    here = elsewhere.parent / "here"
    settings = config(elsewhere, f"env.kwargs.when={when}")
    Trainer(settings, "results").train(batches=1)
    assert os.getcwd() == str(elsewhere)
    os.chdir(here)
    Trainer(settings, "results", resume="results/run0001").train(batches=1)
    os.chdir(here)
    Trainer(
        config(elsewhere, "train.initial_policy=results/run0001"), "results"
    ).train(batches=1)  # fmt: skip
    os.chdir(here)
    assert evaluate("results/run0001", episodes=2)["mean_return"] == 10
    os.chdir(here)
    policy = load_policy("results/run0001")
    render(policy, here / "results" / "run0001" / "videos" / "one.gif", 0)
    os.chdir(here)
    demonstrate(settings, "steps.npz", 2, "run0001", "results")
    assert (here / "steps.npz").exists()
    assert sorted(path.name for path in (here / "results").iterdir()) == ["run0001", "run0002"]
    assert (here / "results" / "run0001" / "videos").is_dir()
    assert not list(elsewhere.iterdir())


def test_workers_start_where_the_trainer_was_started(elsewhere):
    """The one environment that is made for its spaces moves no other."""
    trainer = Trainer(config(elsewhere, "env.backend=async", "env.workers=1"), "results")
    assert os.getcwd() == str(elsewhere.parent / "here")
    trainer.envs.close()


@pytest.mark.parametrize("name", ["s3://bucket/runs", "gs://a", "hdfs://host/x", "https://h/x"])
def test_a_remote_address_is_no_folder(elsewhere, name, capsys):
    for given in (name, Path(name)):
        with pytest.raises(UserError, match="remote addresses are not supported"):
            Trainer(config(elsewhere), given)
    for mode in ("train", "evaluate", "diagnose x", "compare x y"):
        assert main(["--mode", *mode.split(), "--results", name]) == 2
    said = capsys.readouterr().err
    assert said.count("remote addresses are not supported") == 4
    assert said.count(f"keep a copy there with train.mirror={name}\n") == 4
    assert os.listdir() == []


@pytest.mark.parametrize("results", [3, None, b"results"])
def test_results_that_are_no_path_are_refused_with_what_was_given(results):
    with pytest.raises(UserError, match=f"^results: {results}; allowed: a folder"):
        Trainer(Config(), results)
