"""Torch-native environments against Gymnasium's originals, and the laws of their adapter."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
import torch
from env_tools import HOST, assert_same_bits, make, play, random_actions

from ppo.config import EnvConfig
from ppo.core.randomness import uniforms
from ppo.envs import make_environments
from ppo.envs.native import REGISTRY
from ppo.envs.torch_env import Carry, advance, start

NATIVE = ["CartPole-v1", "DoubleIntegrator-v0", "Pendulum-v1"]
SET_STATE = {
    "CartPole-v1": lambda env: env.state,
    "Pendulum-v1": lambda env: env.state,
    "DoubleIntegrator-v0": lambda env: env.state,
}


def test_every_native_environment_is_known_to_gymnasium():
    assert [name for name in REGISTRY.names() if name not in gym.registry] == []
    # ThreeScales-v0 is stepped against its original in tests/envs/test_raw_inputs.py.
    assert REGISTRY.names() == [*NATIVE, "ThreeScales-v0"]


@pytest.mark.parametrize("env_id", NATIVE)
def test_each_step_matches_the_original_over_10000_steps(env_id):
    native = REGISTRY.get(env_id)()
    original = gym.make(env_id, disable_env_checker=True)
    assert original.observation_space == native.observation_space
    assert original.action_space == native.action_space
    limit = original.spec.max_episode_steps
    assert limit == native.max_episode_steps
    original.action_space.seed(1)
    original.reset(seed=1)
    before, after, actions, rewards, obs, ends, successes = [], [], [], [], [], [], []
    for _ in range(10_000):
        action = original.action_space.sample()
        before.append(original.unwrapped.state)
        seen, reward, terminated, truncated, info = original.step(action)
        after.append(original.unwrapped.state)
        actions.append(action)
        rewards.append(reward)
        obs.append(seen)
        ends.append((terminated, truncated))
        successes.append(info.get("is_success", False))
        if terminated or truncated:
            original.reset()
    state = torch.tensor(np.array(before), dtype=torch.float32)
    action = torch.tensor(np.array(actions))
    reached = native.dynamics(state, action)
    terminated = native.terminal(reached)
    torch.testing.assert_close(
        reached, torch.tensor(np.array(after), dtype=torch.float32), rtol=2e-6, atol=2e-6
    )
    torch.testing.assert_close(
        native.observe(reached), torch.tensor(np.array(obs)), rtol=1e-5, atol=1e-5
    )
    assert terminated.tolist() == [end[0] for end in ends]
    assert sum(end[0] or end[1] for end in ends) >= 45
    total = native.rewards(state, action, reached, terminated).sum(1)
    torch.testing.assert_close(
        total, torch.tensor(rewards, dtype=torch.float32), rtol=1e-5, atol=2e-3
    )
    if env_id == "DoubleIntegrator-v0":
        assert (terminated & native.success(reached)).tolist() == successes


@pytest.mark.parametrize("env_id", NATIVE)
def test_starts_have_the_distribution_of_the_original(env_id):
    native = REGISTRY.get(env_id)()
    ids = torch.arange(4000)
    ours = start(native, ids, torch.zeros_like(ids), 3).state
    original = gym.make(env_id, disable_env_checker=True)
    theirs = []
    for seed in range(4000):
        original.reset(seed=seed)
        theirs.append(original.unwrapped.state)
    theirs = torch.tensor(np.array(theirs), dtype=torch.float32)
    spread = theirs.std(0) + 1e-9
    assert ((ours.mean(0) - theirs.mean(0)).abs() / spread).max() < 0.1
    assert (ours.std(0) / spread)[theirs.std(0) > 0].sub(1).abs().max() < 0.05
    assert (ours.amax(0) - theirs.amax(0)).abs().div(spread).max() < 0.05


def test_uniforms_equal_the_hash_in_unsigned_arithmetic():
    def mixed(x):
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))

    envs, episodes = np.arange(500, dtype=np.uint64), np.arange(500, dtype=np.uint64)[::-1] * 999
    with np.errstate(over="ignore"):
        base = mixed(envs * np.uint64(0x9E3779B97F4A7C15) + np.uint64(2**62 + 5))
        base = base + episodes * np.uint64(0xD1342543DE82EF95)
        draws = np.arange(1, 6, dtype=np.uint64) * np.uint64(0xAF251AF3B0F025B5)
        expected = (mixed(base[:, None] + draws) >> np.uint64(40)) / 2.0**24
    ids, episodes = (torch.tensor(x.astype(np.int64)) for x in (envs, episodes))
    assert torch.equal(
        uniforms(2**62 + 5, ids, episodes, 5), torch.tensor(expected, dtype=torch.float32)
    )


def test_uniforms_are_uniform_and_uncorrelated():
    ids = torch.arange(256).repeat_interleave(64)
    episodes = torch.arange(64).repeat(256)
    draws = uniforms(11, ids, episodes, 4)
    assert draws.min() >= 0 and draws.max() < 1
    counts = torch.histc(draws, 64, 0, 1) / draws.numel() * 64
    assert (counts - 1).abs().max() < 0.12
    columns = torch.cat((draws, uniforms(12, ids, episodes, 4), draws.roll(1, 0)), 1)
    correlation = torch.corrcoef(columns.T) - torch.eye(12)
    assert correlation.abs().max() < 0.03
    assert draws[:, 0].unique().numel() > 16_300  # 24 bits: about 8 pairs of 16,384 coincide


@pytest.mark.parametrize("env_id", NATIVE)
def test_a_saved_state_goes_on_with_the_same_bits(env_id):
    envs = make(env_id, "torch", 8)
    envs.reset()
    actions = random_actions(envs, 70)
    play(envs, actions[:37])
    saved = {name: value.clone() for name, value in envs.state_dict().items()}
    expected = play(envs, actions[37:])
    other = make(env_id, "torch", 8)
    other.load_state_dict(saved)
    assert_same_bits(play(other, actions[37:]), expected)


@pytest.mark.parametrize("env_id", NATIVE)
def test_a_reset_skipped_on_the_host_changes_no_bit(env_id):
    envs = make(env_id, "torch", 6)
    envs.reset()
    carry = envs.carry
    for action in random_actions(envs, 50):
        carry, pure = advance(envs.env, carry, action, envs.env_ids, envs.seed)
        assert_same_bits([envs.step(action)], [pure])
        for ours, theirs in zip(envs.carry, carry, strict=True):
            assert torch.equal(ours, theirs)


def test_actions_that_ask_for_gradients_leave_none_behind():
    """Else the states of all steps would be kept."""
    envs = make("Pendulum-v1", "torch")
    envs.reset()
    step = envs.step(torch.zeros(3, 1, requires_grad=True))
    assert not any(tensor.requires_grad for tensor in (step.obs, step.rewards, *envs.carry.state))


def test_time_limit_gives_the_state_reached_and_the_next_start():
    envs = make("Pendulum-v1", "torch", 4, kwargs={"max_episode_steps": 5})
    envs.reset()
    for number, action in enumerate(random_actions(envs, 15), start=1):
        expected = envs.env.observe(envs.env.dynamics(envs.carry.state, action))
        step = envs.step(action)
        assert torch.equal(step.final_obs, expected)
        assert step.truncated.all() == (number % 5 == 0) and not step.terminated.any()
        assert torch.equal(step.obs, step.final_obs) == (number % 5 != 0)
    assert envs.carry.episodes.tolist() == [3] * 4


def test_ranks_together_are_one_process_split():
    whole, right = make("CartPole-v1", "torch", 6), make("CartPole-v1", "torch", 2, first_index=4)
    assert torch.equal(whole.reset()[4:], right.reset())
    for action in random_actions(whole, 60):
        assert torch.equal(whole.step(action).obs[4:], right.step(action[4:]).obs)


@pytest.mark.parametrize("env_id", NATIVE)
def test_a_step_is_one_graph(env_id):
    envs = make(env_id, "torch", 4)
    envs.reset()

    def rollout(carry: Carry, actions, env_ids, run_seed):
        for _ in range(2):
            carry, step = advance(envs.env, carry, actions, env_ids, run_seed)
        return carry, step

    compiled = torch.compile(rollout, fullgraph=True, backend="aot_eager")
    action = random_actions(envs, 1)[0]
    arguments = (envs.carry, action, envs.env_ids, envs.seed)
    for ours, theirs in zip(compiled(*arguments)[0], rollout(*arguments)[0], strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.gpu
@pytest.mark.parametrize("env_id", NATIVE)
def test_a_gpu_starts_the_same_episodes_and_is_never_waited_for(env_id):
    config = EnvConfig(id=env_id, backend="torch", num_envs=64)
    gpu = make_environments(config, run_seed=7, device=torch.device("cuda"))
    host = make_environments(config, run_seed=7, device=HOST)
    torch.testing.assert_close(gpu.reset().cpu(), host.reset(), rtol=1e-6, atol=1e-6)
    assert torch.equal(
        uniforms(gpu.seed, gpu.env_ids, gpu.env_ids * 3, 4).cpu(),
        uniforms(7, host.env_ids, host.env_ids * 3, 4),
    )
    actions = [action.cuda() for action in random_actions(host, 40)]
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        steps = play(gpu, actions)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    # Rounding differs between devices and grows with the steps; 5 steps stay together.
    for action, step in zip(actions[:5], steps[:5], strict=True):
        expected = host.step(action.cpu())
        torch.testing.assert_close(step.obs.cpu(), expected.obs, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(step.rewards.cpu(), expected.rewards, rtol=1e-4, atol=1e-2)
