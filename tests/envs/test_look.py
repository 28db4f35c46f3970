"""A look at an environment: what it finds, and what it leaves alone."""

from __future__ import annotations

import gymnasium as gym
import pytest
from env_tools import HOST
from gymnasium.envs.classic_control import CartPoleEnv
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv
from image_env import Picture
from simulators import Native, Saving

from ppo import Config
from ppo.envs import make_environments
from ppo.envs.given import read
from ppo.envs.look import Facts, facts_of


def config(*overrides: str) -> Config:
    return Config.load(None, overrides)


def test_it_finds_the_lengths_of_episodes() -> None:
    facts = facts_of(config("env.id=Pendulum-v1"), None, plays=True)
    assert (
        not facts.parallel
        and facts.action_entries == 1
        and facts.steps == 2000
        and facts.lengths == (200,) * 10
    )
    facts = facts_of(config("env.id=CartPole-v1"), None, plays=True)
    assert sum(facts.lengths) == facts.steps < 2000 and len(facts.lengths) == 20
    assert len(set(facts.lengths)) > 1 and facts.action_entries == 0


@pytest.mark.parametrize("backend", ["sync", "async", "vector"])
def test_the_backend_changes_nothing(backend: str) -> None:
    usual = facts_of(config("env.id=CartPole-v1"), None, plays=True)
    assert facts_of(config("env.id=CartPole-v1", f"env.backend={backend}"), None, True) == usual


def test_the_seed_is_the_runs() -> None:
    one, two = (
        facts_of(config("env.id=CartPole-v1", f"system.seed={seed}"), None, plays=True)
        for seed in (1, 2)
    )
    assert one.lengths != two.lengths


def test_it_takes_a_fiftieth_of_the_run_at_most() -> None:
    short = config("env.id=Pendulum-v1", "train.total_timesteps=1000")
    assert facts_of(short, None, plays=True).steps == 20
    assert facts_of(short.with_overrides(["train.total_timesteps=49"]), None, True).steps == 0


def test_what_is_made_to_be_stepped_many_at_once_is_known_without_a_look() -> None:
    assert facts_of(config(), None, plays=False) == Facts(True)
    assert facts_of(config("env.backend=sync"), None, plays=False).parallel
    torch = config("env.id=CartPole-v1", "env.backend=torch")
    assert not facts_of(torch, None, plays=False).parallel, "a backend would choose"


@pytest.mark.parametrize("numbers", [False, True])
def test_it_finds_the_shortest_side_of_images(numbers: bool) -> None:
    picture = Picture(numbers=numbers)
    assert facts_of(config(), read(Picture), plays=True).image_side == 40
    assert facts_of(config("env.num_envs=1"), read(picture), plays=True).image_side == 40


class Untouched(CartPoleEnv):
    def reset(self, **_):
        raise AssertionError("played in")


def test_an_object_that_exists_once_is_not_played_in() -> None:
    env = gym.wrappers.TimeLimit(Untouched(), 500)
    pendulum = read(gym.make_vec("Pendulum-v1", 3))
    assert facts_of(config(), pendulum, plays=True) == Facts(False, 1, begins_anew=True)
    assert facts_of(config(), read(env), plays=True) == Facts(False, 0)


KEPT = {
    "env.id=CartPole-v1": True,
    "env.id=DoubleIntegrator-v0": True,
    "env.id=simulators:Saving": True,
    "env.id=simulators:Native": False,
    "env.id=env_forms:make_all": True,
}


@pytest.mark.parametrize("env_id", KEPT)
def test_it_finds_whether_episodes_outlive_a_checkpoint(env_id: str) -> None:
    asked = config(env_id, "train.total_timesteps=1000")
    assert facts_of(asked, None, plays=True).begins_anew is not KEPT[env_id]


@pytest.mark.parametrize(
    ("env", "kept"),
    [
        (CartPoleVectorEnv(2), True),
        (gym.make_vec("CartPole-v1", 2, vectorization_mode="sync"), False),
        (Saving(2), True),
        (Native(2), False),
        (CartPoleEnv(), True),
    ],
)
def test_an_object_s_episodes_outlive_a_checkpoint_where_it_can_be_read(env, kept: bool) -> None:
    one = config(f"env.num_envs={getattr(env, 'num_envs', 1)}")
    facts = facts_of(one, read(env), plays=True)
    envs = make_environments(one.env, run_seed=0, device=HOST, env=read(env), num_envs=1)
    assert facts.begins_anew == (envs.restore_level == "boundary") == (not kept)


def test_where_workers_step_nothing_is_stepped_here_for_the_spaces_alone() -> None:
    """A step that hangs is a worker's, which has a time limit."""
    done: list[str] = []

    class Told(CartPoleEnv):
        def reset(self, **more):
            done.append("reset")
            return super().reset(**more)

        def step(self, action):
            done.append("step")
            return super().step(action)

    asked = config("env.backend=async", "ppo.num_steps=8")
    assert facts_of(asked, read(Told), plays=False) == Facts(False, 0) and not done
