"""`ppo.evaluate` plays a policy, or a run's, in its own environment or in another one."""

from __future__ import annotations

import gymnasium as gym
import pytest
from learner_tools import settings

import ppo
from ppo import Trainer
from ppo.cli import main
from ppo.core.errors import UserError


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    trainer = Trainer(settings("CartPole-v1", train__total_timesteps=64), folder)
    trainer.train()
    return trainer.folder.path


def test_it_gives_what_the_trainer_and_the_command_give(run):
    policy = ppo.load_policy(run)
    found = ppo.evaluate(policy, episodes=5, seed=3)
    assert found == ppo.evaluate(run, "CartPole-v1", episodes=5, seed=3)
    assert found["episodes"] == 5 and found["ci95"][0] <= found["mean_return"] <= found["ci95"][1]
    assert found != ppo.evaluate(policy, episodes=5, seed=4)


def test_another_environment_is_played_where_the_policy_fits_it(run):
    shorter = ppo.evaluate(run, "CartPole-v0", episodes=2)
    assert shorter["episodes"] == 2 and shorter["mean_length"] <= 200
    with pytest.raises(UserError, match="differs from that of the policy"):
        ppo.evaluate(run, "Pendulum-v1", episodes=2)


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        ({"episodes": 0}, "evaluate: episodes: 0; allowed: a whole number, 1 or more"),
        ({"episodes": "3"}, "evaluate: episodes: '3'; allowed: a whole number, 1 or more"),
        ({"episodes": 2.5}, "evaluate: episodes: 2.5; allowed: a whole number, 1 or more"),
        ({"seed": -1}, "evaluate: seed: -1; allowed: a whole number, 0 or more"),
        ({"policy": Trainer}, "evaluate: a type is no policy; give a run folder or a Policy"),
    ],
)
def test_what_cannot_be_evaluated_is_one_line(run, asked, line):
    with pytest.raises(UserError) as caught:
        ppo.evaluate(**{"policy": run, **asked})
    assert str(caught.value).startswith(line) and "\n" not in str(caught.value)


def test_a_seed_below_zero_is_refused_by_its_flag(run, capsys):
    where = ["--results", str(run.parent), "--run", run.name]
    assert main(["--mode", "evaluate", *where, "--seed", "-1"]) == 2
    assert capsys.readouterr().err == "error: --seed: -1; allowed: 0 or more\n"


def test_the_pair_that_reset_returns_is_no_observation(run):
    policy = ppo.load_policy(run)
    pair = gym.make("CartPole-v1").reset(seed=1)
    with pytest.raises(UserError, match="as reset\\(\\) returns it"):
        policy.predict(pair)
    assert policy.predict(pair[0]) in (0, 1)
    with pytest.raises(ValueError, match=r"declared Box\(low, high, \(4,\), float32\), but has"):
        policy.predict(pair[0][:3])  # without 4 low and 4 high bounds


def test_a_file_is_no_run_folder(run):
    with pytest.raises(UserError, match="summary.json' is a file; give the run folder"):
        ppo.load_policy(run / "summary.json")
