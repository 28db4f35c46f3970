"""Numbers in info at an episode's end are figures of the batch, on every backend and resumed."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from learner_tools import records, settings

from ppo import Trainer
from ppo.algorithm import learner
from ppo.algorithm.reported import MOST, Reported, mean

ENV = "telling_env:Telling-v0"
FORM = {"train__total_timesteps": 64 * 4, "evaluation__interval": 0}


def train(folder, **more):
    with Trainer(settings(ENV, **FORM | more), folder) as trainer:
        trainer.train()
        return records(trainer.folder.path), trainer


def test_the_means_are_those_of_the_episodes_that_ended_in_the_batch(tmp_path):
    found, trainer = train(tmp_path)
    env, at = gym.make(ENV), 0
    totals: dict[int, list[float]] = {}
    for index in range(4):
        episode, steps = 0, 0
        while steps < 64:  # 16 steps in each of 4 batches
            from ppo.envs.base import episode_seed

            env.reset(seed=episode_seed(trainer.config.system.seed, index, episode))
            ended = False
            while not ended and steps < 64:
                _, _, ended, _, info = env.step(0)
                at, steps = steps // 16, steps + 1
            if ended:
                totals.setdefault(at, []).append(info["total"])
            episode += 1
    for batch, record in enumerate(found):
        assert record["info/total"] == pytest.approx(np.mean(totals[batch]), rel=1e-12)
        assert record["info/length"] == pytest.approx(record["mean_episode_length"])
        assert 0 <= record["info/even"] <= 1
        assert not [name for name in record if "is_success" in name] and record["success_rate"] == 1


@pytest.mark.parametrize("more", [{"env__backend": "async", "env__workers": 2}])
def test_every_backend_reports_the_same_bits(tmp_path, more):
    assert train(tmp_path / "a")[0] == train(tmp_path / "b", **more)[0]


def test_what_was_rolled_back_is_reported_with_its_episodes(tmp_path, monkeypatch):
    faults = iter(["a fault"])
    monkeypatch.setattr(learner, "fault_of", lambda values: next(faults, ""))
    record = train(tmp_path, env__kwargs="{many: 40}")[0][0]
    assert record["info/length"] == pytest.approx(record["mean_episode_length"])
    assert sum("more than 32 numbers" in event for event in record["events"]) == 1


def test_resumed_it_is_the_same_run(tmp_path):
    kwargs = {"env__kwargs": "{many: 40}"}
    whole = train(tmp_path / "whole", **kwargs)[0]
    with Trainer(settings(ENV, **FORM | kwargs), tmp_path / "cut") as trainer:
        trainer.train(batches=2)
    config = settings(ENV, **FORM | kwargs)
    with Trainer(config, tmp_path / "cut", resume="run0001") as trainer:
        trainer.train()
    assert records(tmp_path / "cut" / "run0001") == whole
    told = [[e for e in record["events"] if "more than 32" in e] for record in whole]
    assert [len(events) for events in told] == [1, 0, 0, 0]


def test_their_number_is_bounded_and_they_can_be_left_out(tmp_path):
    found, _ = train(tmp_path, env__kwargs="{many: 40}")
    for record in found:
        names = [name for name in record if name.startswith("info/")]
        assert len(names) == MOST and "info/n00" in names and "info/total" not in names
    assert "n30, n31, n32, n33, n34 and others" in str(found[0]["events"])
    without, trainer = train(tmp_path, logging__info="false")
    assert not [name for record in without for name in record if name.startswith("info/")]
    assert not trainer.envs.reports.take()


def test_what_is_no_finite_number_is_no_figure(tmp_path):
    found, _ = train(tmp_path, env__kwargs="{broken: true}")
    names = {name for record in found for name in record if name.startswith("info/")}
    assert names == {"info/total", "info/length", "info/even", "info/sometimes"}
    assert {record["info/sometimes"] for record in found if "info/sometimes" in record} == {2.0}


def test_a_mean_has_no_order_and_does_not_overflow():
    values = np.random.default_rng(0).normal(size=100) * 10.0 ** np.arange(100)
    assert mean(values.tolist()) == mean(values[::-1].tolist())
    assert mean([1.7e308, 1.7e308]) == 1.7e308


def test_names_of_the_first_batches_stay():
    reported = Reported()
    reported({f"b{i:02d}": [1.0] for i in range(MOST)})
    found, events = reported({"a": [1.0], "b00": [2.0]})
    assert found == {"info/b00": 2.0} and "a are left out" in events[0]
    other = Reported()
    other.load_state_dict(reported.state_dict())
    assert other({"a": [1.0], "b00": [2.0]}) == ({"info/b00": 2.0}, [])
