"""Evaluation plays exactly the episodes asked for, chosen before they are known."""

import numpy as np
import pytest
import torch

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


def test_spaces_survive_json():
    import json

    import gymnasium as gym

    space = gym.spaces.Dict(
        a=gym.spaces.Box(-np.inf, 3.0, (2, 3)),
        b=gym.spaces.Tuple([gym.spaces.Discrete(3, start=2), gym.spaces.MultiBinary([2, 2])]),
        c=gym.spaces.MultiDiscrete([3, 4]),
    )
    assert restore(json.loads(json.dumps(describe(space)))) == space
