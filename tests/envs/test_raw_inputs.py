"""The environments with raw inputs and with rewards of three sizes."""

import gymnasium as gym
import numpy as np
import pytest
import torch

from ppo.envs.native.double_integrator import DoubleIntegrator
from ppo.envs.native.three_scales import ThreeScales
from ppo.envs.tasks.raw_inputs import LARGEST, RawInputs, ThreeScalesEnv


def test_raw_inputs_are_large_bounded_and_invertible():
    env, plain = gym.make("RawInputs-v0"), gym.make("CartPole-v1")
    raw, obs = env.reset(seed=3)[0], plain.reset(seed=3)[0]
    largest = 0.0
    for _ in range(60):
        assert env.observation_space.contains(raw)
        back = [(raw[0] - 1e4) / 3e4, np.log10(raw[1]) / 3, raw[2] / 500, raw[3] / 500]
        np.testing.assert_allclose(back, obs / [2.4, 1.2, 0.21, 3.5], rtol=1e-3, atol=1e-4)
        largest = max(largest, np.abs(raw).max())
        action = 1
        raw, reward, ended, *_ = env.step(action)
        obs, same, stopped, *_ = plain.step(action)
        assert (reward, ended) == (same, stopped)
        if ended:
            break
    assert largest > 2e4


def test_raw_inputs_never_exceed_the_largest():
    env = RawInputs(gym.make("CartPole-v1"))
    for speed in (1.0, 5.0, 100.0):
        raw = env.observation(np.array([2.4, speed, 0.2, 3.0]))
        assert np.abs(raw).max() <= np.float32(LARGEST)
    assert env.observation(np.array([2.4, 100.0, 0.2, 3.0]))[1] == np.float32(LARGEST)


@pytest.mark.parametrize("scales", [(1.0, 1.0, 1.0), (1.0, 1e3, 1e6)])
def test_three_scales_are_the_same_in_both_forms(scales):
    native, env = ThreeScales(scales), ThreeScalesEnv(scales)
    obs, _ = env.reset(seed=1)
    state = native.state_of(torch.as_tensor(obs)[None])
    for control in np.random.default_rng(0).uniform(-8, 8, 15).astype(np.float32):
        obs, total, ended, _, info = env.step(np.array([control]))
        action = torch.tensor([[control]])
        after = native.dynamics(state, action)
        rewards = native.rewards(state, action, after, native.terminal(after))[0]
        parts = list(info["reward_components"].values())
        np.testing.assert_allclose(rewards.numpy(), parts, rtol=2e-3, atol=2e-3 * max(scales))
        assert list(info["reward_components"]) == list(native.component_names)
        assert total == pytest.approx(sum(parts)) and ended == bool(native.terminal(after))
        state = after


def test_observations_say_the_whole_state_of_the_double_integrator():
    env = DoubleIntegrator()
    state = env.initial(torch.rand(20, 4))
    for _ in range(3):
        state = env.dynamics(state, torch.rand(20, 1) * 4)
        torch.testing.assert_close(env.state_of(env.observe(state)), state)


def test_two_scales_are_refused():
    with pytest.raises(TypeError, match="three numbers"):
        ThreeScales((1.0, 2.0))
