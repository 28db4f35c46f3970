"""The project's own environments keep the rules that everybody's have to keep."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
import torch
from env_tools import HOST
from gymnasium.utils.env_checker import check_env

from ppo.envs import OWN
from ppo.envs.native import REGISTRY
from ppo.envs.torch_env import TorchEnvironments


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("env_id", sorted(OWN))
def test_gymnasiums_checker_finds_no_fault(env_id):
    check_env(gym.make(env_id).unwrapped)


@pytest.mark.slow
@pytest.mark.filterwarnings("error::UserWarning:stable_baselines3")
@pytest.mark.parametrize("env_id", sorted(OWN))
def test_the_checker_of_stable_baselines3_finds_no_fault(env_id):
    checker = pytest.importorskip("stable_baselines3.common.env_checker")
    checker.check_env(gym.make(env_id).unwrapped, warn=False)


@pytest.mark.parametrize("env_id", sorted(REGISTRY.names()))
def test_the_torch_form_stays_in_the_space_of_the_gymnasium_form(env_id):
    envs = TorchEnvironments(REGISTRY.get(env_id)(), 16, 3, HOST)
    declared = gym.make(env_id).observation_space
    assert isinstance(declared, gym.spaces.Box) and isinstance(
        envs.observation_space, gym.spaces.Box
    )
    np.testing.assert_array_equal(envs.observation_space.high, declared.high)
    np.testing.assert_array_equal(envs.observation_space.low, declared.low)
    seen = [envs.reset()]
    envs.action_space.seed(0)
    for _ in range(40):
        sampled = [np.asarray(envs.action_space.sample()) for _ in range(16)]
        seen.append(envs.step(torch.as_tensor(np.stack(sampled))).final_obs)
    assert all(declared.contains(row) for row in torch.cat(seen).numpy())
