"""A VecEnv of Stable-Baselines3 gives the steps of Gymnasium's own vector environment."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from env_tools import HOST, assert_same_bits, play, random_actions
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from ppo.config import EnvConfig
from ppo.core.errors import UserError
from ppo.envs import make_environments
from ppo.envs.given import read
from ppo.envs.simulators.stable_baselines3 import VecEnvironments


class Parts(gym.Wrapper):
    """Reports a success and a number of its own; ends after 18 steps too."""

    def reset(self, **how: Any) -> Any:
        self.steps = 0
        obs, _ = self.env.reset(**how)
        return obs, {"drawn": float(obs[0])}

    def step(self, action: Any) -> Any:
        obs, reward, terminated, truncated, info = self.env.step(action)
        self.steps += 1
        info |= {"is_success": self.steps > 12, "height": float(self.steps)}
        cut = not terminated and (truncated or self.steps == 18)  # a VecEnv has one of the two
        return obs, reward + float(action), terminated, cut, info


class VecEnv:
    """Like DummyVecEnv of Stable-Baselines3."""

    def __init__(self, count: int) -> None:
        self.envs = [made() for _ in range(count)]
        self.num_envs = count
        self.observation_space = self.envs[0].observation_space
        self.action_space = self.envs[0].action_space
        self.seeds: list[int | None] = [None] * count
        self.reset_infos: list[dict[str, Any]] = [{} for _ in range(count)]
        self.closed = False

    def seed(self, seed: int) -> None:
        self.seeds = [seed + index for index in range(self.num_envs)]

    def reset(self) -> Any:
        found = [env.reset(seed=s) for env, s in zip(self.envs, self.seeds, strict=True)]
        self.seeds = [None] * self.num_envs
        self.obs, self.reset_infos = np.stack([one for one, _ in found]), [i for _, i in found]
        return self.obs.copy()

    def step_async(self, actions: Any) -> None:
        self.actions = actions

    def step_wait(self) -> Any:
        rewards, dones = np.zeros(self.num_envs, np.float32), np.zeros(self.num_envs, bool)
        infos: list[dict[str, Any]] = []
        for i, env in enumerate(self.envs):
            obs, rewards[i], terminated, truncated, info = env.step(self.actions[i])
            dones[i] = terminated or truncated
            info["TimeLimit.truncated"] = truncated and not terminated
            if dones[i]:
                info |= {"terminal_observation": obs, "episode": {"r": 1.0, "l": 2, "t": 0.5}}
                obs, self.reset_infos[i] = env.reset()
            self.obs[i] = obs
            infos.append(info)
        return self.obs.copy(), rewards, dones, deepcopy(infos)

    def get_attr(self, name: str, indices: Any = None) -> list[Any]:
        return [getattr(env, name) for env in self.envs]

    def env_method(self, name: str, *args: Any, indices: Any = None) -> list[Any]:
        return [getattr(env, name)(*args) for env in self.envs]

    def close(self) -> None:
        self.closed = True


def made() -> gym.Env:
    return Parts(gym.make("CartPole-v1", max_episode_steps=25))


def environments(env: Any, count: int = 3) -> Any:
    config = EnvConfig(id=read(env).id, num_envs=count)
    return make_environments(config, run_seed=7, device=HOST, env=env, report=True)


def test_its_steps_are_those_of_gymnasium() -> None:
    other = SyncVectorEnv([made] * 3, autoreset_mode=AutoresetMode.SAME_STEP)
    ours, theirs = environments(VecEnv(3)), environments(other)
    for _ in range(2):  # a second reset has seeds of its own
        assert torch.equal(ours.reset(), theirs.reset())
        actions = random_actions(ours, 80)
        steps = play(ours, actions)
        assert_same_bits(steps, play(theirs, actions))
        ended = torch.stack([step.terminated for step in steps])
        cut = torch.stack([step.truncated for step in steps])
        assert ended.any() and cut.any()
        assert str(ours.reports.take()) == str(theirs.reports.take()) != "{}"
    assert ours.max_episode_steps == theirs.env.envs[0].spec.max_episode_steps == 25


def test_infos_are_those_of_gymnasium_and_what_the_package_adds_is_left_out() -> None:
    ours = VecEnvironments(VecEnv(2))
    theirs = SyncVectorEnv([made] * 2, autoreset_mode=AutoresetMode.SAME_STEP)
    assert ours.metadata["autoreset_mode"] == theirs.metadata["autoreset_mode"]
    assert str(ours.reset(seed=3)) == str(theirs.reset(seed=3))
    theirs.action_space.seed(0)
    for _ in range(30):
        actions = theirs.action_space.sample()
        infos, right = ours.step(actions)[-1], theirs.step(actions)[-1]
        assert infos.keys() == right.keys()
        for name in infos.keys() - {"final_obs"}:
            assert str(infos[name]) == str(right[name])
        assert str(infos.get("final_obs")) == str(right.get("final_obs"))


def test_it_is_named_by_its_own_class_and_closed_by_its_owner() -> None:
    vec = VecEnv(2)
    given = read(vec)
    assert (
        given.num_envs == 2 and given.id.endswith("VecEnv>") and "VecEnvironments" not in given.id
    )
    environments(vec, 2).close()
    assert not vec.closed


def test_a_factory_of_many_may_make_one_and_closes_it() -> None:
    kept: list[VecEnv] = []

    def make(num_envs: int) -> VecEnv:
        kept.append(VecEnv(num_envs))
        return kept[-1]

    envs = environments(make, 5)
    assert envs.num_envs == 5 and envs.reset().shape == (5, 4)
    envs.close()
    assert kept[-1].closed


def test_a_factory_of_one_that_makes_many_is_refused_with_the_way_out() -> None:
    with pytest.raises(UserError, match="no gymnasium.Env.*parameter num_envs"):
        environments(lambda: VecEnv(2)).reset()


@pytest.mark.slow
def test_the_package_itself_gives_the_same() -> None:
    vec_env = pytest.importorskip("stable_baselines3.common.vec_env")
    other = SyncVectorEnv([made] * 3, autoreset_mode=AutoresetMode.SAME_STEP)
    theirs = environments(other)
    theirs.reset()
    actions = random_actions(theirs, 80)
    right = play(theirs, actions)
    for kind in (vec_env.DummyVecEnv, vec_env.SubprocVecEnv):
        vec = kind([made] * 3)
        ours = environments(vec)
        ours.reset()
        assert_same_bits(play(ours, actions), right)
        vec.close()
