"""`ppo.evaluate` plays a policy, or a run's, in its own environment or in another one."""

from __future__ import annotations

import pytest
from learner_tools import settings

import ppo
from ppo import Trainer
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
    with pytest.raises(UserError, match="differs from that of evaluate: the policy"):
        ppo.evaluate(run, "Pendulum-v1", episodes=2)
    with pytest.raises(UserError, match="episodes: 0"):
        ppo.evaluate(run, episodes=0)
