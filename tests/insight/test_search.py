"""A search asks for every trial once, prunes what is lost, goes on after a kill, keeps the best."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import sys

import pytest

from ppo import Config
from ppo.algorithm.automatic import chosen
from ppo.cli.main import main
from ppo.core.errors import UserError
from ppo.insight.experiments import search as module
from ppo.insight.experiments.findings import _ends, conclude
from ppo.insight.experiments.launchers.base import LOST, Launcher
from ppo.insight.experiments.search import Search, Tuner, moments, open_search, score
from ppo.insight.experiments.space import Dimension, parse
from ppo.runs.folder import RunFolder

CARTPOLE = ("env.id=CartPole-v1", "train.total_timesteps=1000")


def test_ranges_and_choices_are_read_as_typed():
    assert parse("ppo.learning_rate=1e-5..1e-2 log") == Dimension(
        "ppo.learning_rate", 1e-5, 1e-2, log=True
    )
    assert parse("ppo.num_epochs = 1..10").whole and not parse("ppo.gamma=0..1").whole
    assert parse("network.activation=tanh,relu").choices == ("tanh", "relu")
    assert parse("ppo.entropy_coefficient=-0.1..0.1").low == -0.1
    half = Dimension("k", 1e-4, 1e-2, log=True)
    assert half.place("1e-3") == pytest.approx(0.5) and half.place("1e-2") == 1.0


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("ppo.gamma", "write KEY=LOW..HIGH"),
        ("ppo.gamma=0.9", "write KEY=LOW..HIGH"),
        ("ppo.gamma=1..0.5", "1 is not below 0.5"),
        ("ppo.gamma=0..1 log", "must be above 0"),
        ("ppo.gamma=a..b", "must be numbers"),
        ("ppo.num_epochs=0.5..2", "is a whole number"),
        ("ppo.gamma=0.9,0.9", "the same value twice"),
    ],
)
def test_what_is_no_range_is_refused_in_a_line(text, told):
    with pytest.raises(UserError, match=told) as error:
        parse(text)
    assert len(error.value.messages) == 1


def searching(*space, trials=6, seeds=(1,)):
    return Search(tuple(map(parse, space)), trials, seeds, None, CARTPOLE)


@pytest.mark.parametrize(
    ("space", "told"),
    [
        (["ppo.gama=0.5..1"], "^ppo.gama: unknown; did you mean ppo.gamma[?]$"),
        (["ppo.gamma=0.5..2"], "^ppo.gamma=2.0: must be"),
        (["ppo.gamma=0.5..1", "ppo.gamma=0.5..0.9"], "each setting once"),
        (["system.seed=1..5"], "not system.seed"),
    ],
)
def test_settings_that_cannot_be_are_refused_before_anything_is_made(tmp_path, space, told):
    with pytest.raises(UserError, match=told):
        open_search(searching(*space), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_search_without_trials_is_refused_with_the_number(tmp_path):
    with pytest.raises(UserError, match="^--trials: 0; allowed: 1 or more$"):
        open_search(searching("ppo.gamma=0.5..1", trials=0), tmp_path)


def test_the_same_search_again_is_the_same_folder_and_may_have_more_trials(tmp_path):
    one = searching("ppo.gamma=0.5..1")
    folder = open_search(one, tmp_path)
    assert open_search(searching("ppo.gamma=0.5..1", trials=9), tmp_path) == folder
    assert open_search(one, tmp_path, fresh=True) != folder
    assert open_search(searching("ppo.gamma=0.6..1"), tmp_path) != folder


def test_a_missing_package_is_a_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.setattr("ppo.core.program.checkout", lambda: None)  # installed from a wheel
    assert main(["--mode", "tune", "--vary", "ppo.gamma=0.5..1", "--results", str(tmp_path)]) == 2
    assert 'the extra "tune": pip install "ppo-stable-values[tune]"' in capsys.readouterr().err


def test_scores_and_moments_are_means_of_their_batches():
    records = [
        {"env_steps": 10 * (i + 1), "mean_episode_return": None if i % 2 else float(i)}
        for i in range(50)
    ]
    assert score(records) == (40 + 42 + 44 + 46 + 48) / 5 and math.isnan(score([records[1]]))
    found = dict(moments(records, 1000))  # half of the run
    assert sorted(found) == [0, 1, 2, 3, 4] and found[0] == (0 + 2 + 4 + 6 + 8) / 5
    assert 5 not in found  # has not ended


class Played(Launcher):
    """Runs that are over as soon as they are looked at: the return is 100 x gamma."""

    def __init__(self, killed_after=None, sick=()):
        self.commands, self.stopped = [], []
        self.killed_after, self.sick = killed_after, sick

    def start(self, command, output):
        if self.killed_after is not None and len(self.commands) >= self.killed_after:
            raise KeyboardInterrupt
        self.commands.append(command)
        gamma = next(float(w.partition("=")[2]) for w in command if w.startswith("ppo.gamma="))
        folder = RunFolder.create(output.parent, {"config.yaml": chosen(Config())[0].to_yaml()})
        for batch in range(20):
            bad = len(self.commands) in self.sick
            folder.append({
                "batch": batch, "env_steps": 50 * (batch + 1), "mean_episode_return": 100 * gamma,
                "total_loss": None if bad else 1.0, "events": [], "components": {},
            })  # fmt: skip
        folder.set_status("finished")
        folder.close()
        return 0

    def capacity(self):
        return 1

    def poll(self, handle):
        return handle

    def stop(self, handle):
        self.stopped.append(handle)

    def wait(self, handle):
        pass


def test_a_run_is_read_once_in_each_tenth_of_it(tmp_path, monkeypatch):
    """Its records are many megabytes, and it is looked at twice a second."""

    class Lasting(Played):
        def poll(self, handle):
            looks.append(handle)
            return None if len(looks) < 50 else handle

    pytest.importorskip("optuna")
    looks, reads = [], []
    read = module.read_records
    monkeypatch.setattr(module, "POLL", 0.0)
    monkeypatch.setattr(module, "read_records", lambda run: [reads.append(run), read(run)][1])
    asked = searching("ppo.gamma=0.5..1", trials=1)
    Tuner(asked, open_search(asked, tmp_path), Lasting()).run()
    assert len(looks) == 50 and len(reads) == 2, "once for what it has reached, once for its score"


@pytest.fixture
def tuned(tmp_path, monkeypatch):
    pytest.importorskip("optuna")
    monkeypatch.setattr(module, "POLL", 0.0)

    def tune(launcher, jobs=2, **more):
        overrides = (*CARTPOLE, *more.pop("overrides", ()))
        asked = dataclasses.replace(searching("ppo.gamma=0.1..0.9", **more), overrides=overrides)
        folder = open_search(asked, tmp_path)
        lines = []
        tuner = Tuner(asked, folder, launcher, jobs, tell=lines.append)
        try:
            tuner.run()
        except KeyboardInterrupt:
            pass
        return tuner, folder, lines

    return tune


def states(tuner):
    return [t.state.name for t in tuner.study.get_trials()]


def test_bad_trials_are_pruned_and_the_best_is_a_file(tuned, monkeypatch):
    from ppo.insight.experiments import findings

    tuner, folder, lines = tuned(Played(), trials=14)
    assert len(states(tuner)) == 14 and set(states(tuner)) == {"COMPLETE", "PRUNED"}
    assert sum("below the median" in line for line in lines) == states(tuner).count("PRUNED")
    pruned = [json.loads(p.read_text()) for p in folder.glob("jobs/*/seed1/run0001/summary.json")]
    assert [s["status"] for s in pruned].count("pruned") == states(tuner).count("PRUNED")
    assert all("median" in s["reason"] for s in pruned if s["status"] == "pruned")
    said = conclude(tuner)
    best = Config.load(folder / "best.yaml")
    assert best.ppo.gamma == max(t.params["ppo.gamma"] for t in tuner.study.get_trials())
    text = (folder / "tune.html").read_text()
    assert "14 trials" in said and "<svg" in text and "Hollow: pruned" in text
    assert "importance of the settings: from 40" in said and "partly luck" in said
    monkeypatch.setattr(findings, "ENOUGH", states(tuner).count("COMPLETE"))
    assert "importance 1.00 ppo.gamma" in conclude(tuner)


def test_a_picture_names_all_choices_and_the_ends_of_a_range():
    assert _ends(parse("ppo.gamma=0.9,0.95,0.99")) == "0.9, 0.95, 0.99"
    assert _ends(parse("ppo.learning_rate=1e-5..1e-2 log")) == "1e-05 to 0.01 (log)"


def test_a_lost_run_is_pruned_with_what_the_doctor_finds(tuned):
    tuner, folder, lines = tuned(Played(sick=(1,)), trials=2)
    assert states(tuner) == ["PRUNED", "COMPLETE"]
    assert json.loads((folder / "jobs/0001/seed1/run0001/summary.json").read_text())[
        "reason"
    ].startswith("non_finite")


def test_killed_and_started_again_each_trial_is_there_once(tuned):
    first = Played(killed_after=3)
    tuned(first, trials=6)
    second = Played()
    tuner, folder, _ = tuned(second, trials=6)
    assert "RUNNING" not in states(tuner) and len(states(tuner)) == 6
    assert len(first.commands) + len(second.commands) == 6
    assert len(list(folder.glob("jobs/*/seed1/run*"))) == 6


class Killed(Played):
    """The search is killed before any of its runs has a folder."""

    def start(self, command, output):
        return 0

    def poll(self, handle):
        raise KeyboardInterrupt


class Counted(Played):
    """How many runs are at work at a time."""

    working, most = 0, 0

    def start(self, command, output):
        self.working += 1
        self.most = max(self.most, self.working)
        return super().start(command, output)

    def poll(self, handle):
        self.working -= 1
        return super().poll(handle)


@pytest.mark.parametrize("jobs", [1, 2])
def test_trials_that_were_killed_go_on_as_many_at_a_time_as_are_asked_for(tuned, jobs):
    tuned(Killed(), trials=4, jobs=4)
    again = Counted()
    tuner, *_ = tuned(again, trials=5, jobs=jobs)
    assert again.most == jobs and "RUNNING" not in states(tuner) and len(states(tuner)) == 5


class Interrupted(Killed):
    """Ctrl-C comes when the second of the killed trials is gone on with."""

    def start(self, command, output):
        if self.commands:
            raise KeyboardInterrupt
        self.commands.append(command)
        return "the first"


def test_a_stop_while_killed_trials_go_on_stops_those_at_work(tuned):
    tuned(Killed(), trials=2)
    again = Interrupted()
    tuned(again, trials=2)
    assert again.stopped == ["the first"]


class Begun(Played):
    """A run is first seen when its folder holds no metrics yet."""

    def start(self, command, output):
        super().start(command, output)
        (file,) = output.parent.glob("run*/loss_metrics.json")
        return [file.rename(file.with_name("later"))]

    def poll(self, handle):
        if not handle:
            return 0
        hidden = handle.pop()
        hidden.rename(hidden.with_name("loss_metrics.json"))
        return None


def test_a_run_whose_metrics_are_still_to_come_ends_no_search(tuned):
    tuner, *_ = tuned(Begun(), trials=3)
    assert states(tuner) == ["COMPLETE"] * 3


class Entered(Played):
    """Starts the same search once more, while its first trial is at work."""

    def __init__(self, again):
        super().__init__()
        self.again, self.refused = again, []

    def poll(self, handle):
        if not self.refused:
            with pytest.raises(UserError, match=f"by process {os.getpid()}; wait .*--fresh") as e:
                self.again()
            self.refused.append(e.value.messages)
        return super().poll(handle)


def test_the_same_search_is_run_by_one_process_at_a_time(tuned):
    """Two would train each trial twice."""
    second = Played()
    first = Entered(lambda: tuned(second, trials=3))
    tuner, folder, _ = tuned(first, trials=3)
    assert len(first.refused[0]) == 1 and not second.commands
    assert len(first.commands) == 3 and len(list(folder.glob("jobs/*/seed1/run*"))) == 3
    assert len(tuned(second, trials=4)[0].study.get_trials()) == 4 and len(second.commands) == 1


class HalfDone(Played):
    """Is killed once it has a checkpoint; the next time it goes on and ends."""

    def start(self, command, output):
        if "--resume" in command:
            self.commands.append(command)
            folder = RunFolder.open(output.parent, "run0001")
            folder.set_status("finished")
            folder.close()
            return 0
        config = Config.load(overrides=["env.id=mine:Env-v0"])
        folder = RunFolder.create(output.parent, {"config.yaml": config.to_yaml()})
        folder.write_json("checkpoints/one", {})
        folder.set_status("running")
        folder.close()
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("named", "trusted"), [("env.id=mine:Env-v0", True), ("env.id=other:Env-v0", False)]
)
def test_a_trial_that_goes_on_may_import_what_the_search_names(tuned, named, trusted):
    tuned(HalfDone(), trials=1, overrides=(named,))
    again = HalfDone()
    tuned(again, trials=1, overrides=(named,))
    (words,) = again.commands
    assert "--resume" in words and ("--trust" in words) == trusted


def test_a_trial_trains_all_of_its_seeds(tuned):
    launcher = Played()
    tuner, folder, _ = tuned(launcher, trials=2, seeds=(1, 2))
    assert len(launcher.commands) == 4
    assert sorted(p.name for p in folder.glob("jobs/0001/*")) == ["seed1", "seed2"]


class Lost(Played):
    """The node dies so many times before any trial has a folder."""

    def __init__(self, times):
        super().__init__()
        self.times = times

    def start(self, command, output):
        self.times -= 1
        return LOST if self.times >= 0 else super().start(command, output)


def test_a_trial_goes_on_elsewhere_when_its_node_is_lost(tuned):
    tuner, _, lines = tuned(Lost(3), trials=1, jobs=1)
    assert states(tuner) == ["COMPLETE"] and len(lines) == 1


def test_a_trial_that_is_lost_too_often_is_tried_again_at_the_next_start(tuned):
    launcher = Lost(4)
    tuner, _, lines = tuned(launcher, trials=1, jobs=1)
    assert states(tuner) == ["RUNNING"]
    told = "1 trial: 0 finished, 0 pruned, 0 failed, 1 lost with their nodes;"
    assert conclude(tuner).startswith(told)
    assert [line.endswith("the same command tries it again") for line in lines] == [True]
    again, _, lines = tuned(launcher, trials=1, jobs=1)
    assert states(again) == ["COMPLETE"] and len(lines) == 1
