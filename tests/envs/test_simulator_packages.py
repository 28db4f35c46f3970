"""gymnax, Brax, EnvPool and Gymnasium's JAX environments themselves, on the CPU."""

from __future__ import annotations

import pytest
import torch
from env_tools import HOST, assert_same_bits, play, random_actions

from ppo.config import EnvConfig
from ppo.envs import make_environments

pytestmark = pytest.mark.slow
N = 4


def made(path: str, backend: str = "auto", **kwargs):
    config = EnvConfig(id=path, kwargs=kwargs, backend=backend, num_envs=N)
    return make_environments(config, run_seed=3, device=HOST)


KINDS = {
    "gymnax": ("ppo.envs.simulators.gymnax:Gymnax",
               {"env_id": "Pendulum-v1", "max_steps_in_episode": 7}),
    "brax": ("ppo.envs.simulators.brax:Brax",
             {"env_id": "inverted_pendulum", "episode_length": 7}),
}  # fmt: skip


@pytest.mark.parametrize("package", KINDS)
def test_a_simulator_of_jax_ends_by_its_time_limit_and_goes_on_from_its_state(package):
    pytest.importorskip(package)
    path, kwargs = KINDS[package]
    with made(path, **kwargs) as envs, made(path, **kwargs) as other:
        assert envs.restore_level == "state" and envs.max_episode_steps == 7
        actions = random_actions(envs, 14)
        first = envs.reset()
        steps = play(envs, actions[:5])
        state = envs.state_dict()
        rest = play(envs, actions[5:])
        assert torch.equal(other.load_state_dict(state), steps[-1].obs)
        assert_same_bits(rest, play(other, actions[5:]))
        reached = []
        for force in (0.25, 0.75):  # they arrive as they are, not as whole numbers
            other.load_state_dict(state)
            reached.append(other.step(torch.full_like(actions[0], force)).final_obs)
        assert not torch.equal(*reached)
        envs.run_seed = 3
        assert torch.equal(envs.reset(), first) and not torch.equal(envs.reset(), first)
    truncated = torch.stack([step.truncated for step in [*steps, *rest]])
    assert truncated.any()
    for step in [*steps, *rest]:
        goes_on = ~(step.truncated | step.terminated)
        assert torch.equal(step.obs[goes_on], step.final_obs[goes_on])
        assert not torch.equal(step.obs[~goes_on], step.final_obs[~goes_on]) or goes_on.all()


def test_envpool_is_seeded_by_its_resets():
    pytest.importorskip("envpool")
    with made("ppo.envs.simulators.envpool:EnvPool", env_id="CartPole-v1") as envs:
        assert envs.backend == "vector" and envs.max_episode_steps == 500
        actions = random_actions(envs, 40)
        first, steps = envs.reset(), play(envs, actions)
        assert any(step.terminated.any() for step in steps)
        assert any((~step.valid).any() for step in steps), "its reset takes a step"
        envs.run_seed = 3
        assert torch.equal(envs.reset(), first)
        assert_same_bits(steps, play(envs, actions))


def test_gymnasiums_own_environments_of_jax_are_vector_environments():
    pytest.importorskip("jax")
    with made("phys2d/CartPole-v1", "vector") as envs:
        first = envs.reset()
        steps = play(envs, random_actions(envs, 30))
        assert any(step.terminated.any() for step in steps)
        assert any((~step.valid).any() for step in steps)
        envs.run_seed = 3
        assert torch.equal(envs.reset(), first)
