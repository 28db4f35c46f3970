"""Evaluation plays exactly the episodes asked for, chosen before they are known."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from env_tools import make

from ppo.config import EnvConfig
from ppo.envs.make import make_environments
from ppo.envs.spaces import describe, restore
from ppo.policies.play import evaluate, play


class Constant:
    def act(self, obs, deterministic, seed):
        return torch.ones(obs.shape[0], dtype=torch.int64)


def cartpoles(num_envs, seed=3):
    config = EnvConfig(id="CartPole-v1", backend="sync")
    return make_environments(config, run_seed=seed, device=torch.device("cpu"), num_envs=num_envs)


@pytest.mark.parametrize("episodes", [1, 5, 20])
def test_exactly_so_many_episodes(episodes):
    with cartpoles(min(episodes, 8)) as envs:
        assert evaluate(envs, Constant(), episodes, 0)["episodes"] == episodes


def test_short_episodes_are_not_favored():
    def act(obs):
        return torch.ones(obs.shape[0], dtype=torch.int64)

    with cartpoles(4) as envs:
        few = play(envs, act, 4)["lengths"]
    with cartpoles(4) as envs:
        firsts = torch.full((4,), -1)
        envs.reset()
        for t in range(1, 60):
            step = envs.step(torch.ones(4, dtype=torch.int64))
            firsts = torch.where((firsts < 0) & step.terminated, t, firsts)
    assert sorted(few.tolist()) == sorted(firsts.tolist())


class Endless(gym.Env):
    """No episode ends, but that of some: after so many steps as its index has."""

    observation_space = gym.spaces.Box(-1, 1, (1,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def __init__(self, length=10**9):
        self.length = length

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.count += 1
        return np.zeros(1, np.float32), 2.0, self.count == self.length, False, {}


gym.register("Endless-v0", Endless)


class Tenths(gym.Env):
    """20,000 steps of 0.1."""

    observation_space, action_space = gym.spaces.Box(-1, 1, (1,)), gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        self.steps = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.steps += 1
        return np.zeros(1, np.float32), 0.1, self.steps == 20_000, False, {}


def test_the_return_of_a_long_episode_is_the_sum_of_its_rewards():
    section, cpu = EnvConfig(id="CartPole-v1"), torch.device("cpu")
    with make_environments(section, run_seed=1, device=cpu, env=Tenths, num_envs=1) as envs:
        found = evaluate(envs, Constant(), 1, 0)
    assert found["mean_return"] == pytest.approx(2000, rel=1e-7)


@pytest.mark.parametrize("wanted", [3, 5])
def test_an_evaluation_of_episodes_that_never_end_ends_and_says_so(wanted):
    told = []
    with make("Endless-v0", num_envs=3) as envs:
        found = evaluate(envs, Constant(), wanted, 0, max_steps=40, note=told.append)
    assert found["episodes"] == 3 and found["mean_length"] == 40 and found["mean_return"] == 80
    (line,) = told
    assert "evaluation.max_steps 40" in line and "3 of the 3 episodes played" in line
    assert ("; 5 were wanted" in line) == (wanted == 5), "none of them has ended"


def test_an_episode_of_just_so_many_steps_is_whole():
    told = []
    with make("Endless-v0", num_envs=2, kwargs={"length": 40}) as envs:
        found = evaluate(envs, Constant(), 4, 0, max_steps=40, note=told.append)
    assert found["episodes"] == 4 and found["mean_length"] == 40 and not told


def test_a_run_says_that_its_evaluation_was_cut_short(tmp_path, capsys):
    from ppo import Config, Trainer
    from ppo.core.errors import UserError
    from ppo.policies.demonstrate import demonstrate
    from ppo.policies.evaluate import evaluate as evaluate_a_run

    settings = [
        "env.id=Endless-v0", "env.num_envs=2", "ppo.num_steps=8", "ppo.num_minibatches=1",
        "train.total_timesteps=32", "evaluation.episodes=2", "evaluation.max_steps=7",
        "evaluation.interval=1", "system.compile=never", "logging.tensorboard=false",
    ]  # fmt: skip
    trainer = Trainer(Config.from_dict({}, settings), tmp_path)
    trainer.train()
    assert trainer.evaluations[0]["mean_length"] == 7
    assert any("evaluation.max_steps 7" in line for line in trainer.folder.records()[1]["events"])
    assert any("evaluation.max_steps 7" in line for line in trainer.events)  # of the last one
    evaluate_a_run(tmp_path / "run0001", episodes=2)
    assert "evaluation.max_steps 7" in capsys.readouterr().err
    with pytest.raises(UserError, match="not ended after evaluation.max_steps 7"):
        demonstrate(trainer.config, tmp_path / "steps.npz", 2, "run0001", tmp_path)


def test_who_asks_for_an_evaluation_waits_longer_than_a_run_does(tmp_path, monkeypatch):
    from ppo import Config, Trainer
    from ppo.config.options import EvaluationConfig
    from ppo.core.errors import UserError
    from ppo.policies.demonstrate import demonstrate

    monkeypatch.setattr(EvaluationConfig.model_fields["max_steps"], "default", 30)
    settings = [
        "env.id=Endless-v0", "env.num_envs=2", "ppo.num_steps=8", "ppo.num_minibatches=1",
        "train.total_timesteps=16", "evaluation.episodes=2", "system.compile=never",
    ]  # fmt: skip
    config = Config.from_dict({}, settings).chosen({"evaluation.max_steps": 7}, 0)
    with Trainer(config, tmp_path) as trainer:
        trainer.train()
        assert trainer.evaluations[0]["mean_length"] == 7
        assert trainer.evaluate(episodes=2)["mean_length"] == 30
    with pytest.raises(UserError, match="not ended after evaluation.max_steps 30"):
        demonstrate(trainer.config, tmp_path / "steps.npz", 2, "run0001", tmp_path)


def test_what_a_run_chose_for_its_own_evaluations_is_not_for_others():
    from ppo import Config
    from ppo.policies.play import longest

    asked = Config.from_dict({}, ["evaluation.max_steps=7"])
    chosen = Config().chosen({"evaluation.max_steps": 2000}, 0)
    assert chosen.evaluation.max_steps == 2000
    assert [longest(config) for config in (asked, chosen, Config())] == [7, 100_000, 100_000]


def test_spaces_survive_json():
    import json

    import gymnasium as gym

    space = gym.spaces.Dict(
        a=gym.spaces.Box(-np.inf, 3.0, (2, 3)),
        b=gym.spaces.Tuple([gym.spaces.Discrete(3, start=2), gym.spaces.MultiBinary([2, 2])]),
        c=gym.spaces.MultiDiscrete([3, 4]),
    )
    assert restore(json.loads(json.dumps(describe(space)))) == space
