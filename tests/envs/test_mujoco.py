"""The fast forms of the MuJoCo tasks give the bits of Gymnasium's own `step`."""

from __future__ import annotations

import importlib

import gymnasium
import numpy as np
import pytest
import torch
from env_tools import assert_same_bits, make, play, random_actions

from ppo.envs.host import mujoco
from ppo.envs.host.slot_group import SlotGroup

pytest.importorskip("mujoco", reason="the extra mujoco is not installed")
TASKS = ["HalfCheetah", "Hopper", "Walker2d", "Swimmer", "Ant", "InvertedPendulum"]


def with_the_original(env_id, monkeypatch, **settings):
    with monkeypatch.context() as patch:
        patch.setattr(mujoco, "FORMS", {})
        envs = make(env_id, **settings)
    assert type(envs._group) is SlotGroup
    return envs


@pytest.mark.parametrize("task", TASKS)
def test_steps_are_those_of_the_original(task, monkeypatch):
    envs = make(f"{task}-v5", num_envs=3)
    assert type(envs._group) is mujoco.MujocoGroup
    slow = with_the_original(f"{task}-v5", monkeypatch, num_envs=3)
    assert torch.equal(envs.reset(), slow.reset())
    actions = random_actions(envs, 260)
    assert_same_bits(play(envs, actions), play(slow, actions))


@pytest.mark.parametrize("task", ["HalfCheetah", "Swimmer"])
def test_the_time_limit_is_that_of_the_original(task, monkeypatch):
    envs = make(f"{task}-v5", num_envs=1)
    slow = with_the_original(f"{task}-v5", monkeypatch, num_envs=1)
    envs.reset(), slow.reset()
    actions = random_actions(envs, 1005)
    steps = play(envs, actions)
    assert_same_bits(steps, play(slow, actions))
    assert [i for i, step in enumerate(steps) if step.truncated.any()] == [999]


@pytest.mark.parametrize("task", TASKS)
def test_what_info_holds_at_an_end_is_reported_as_by_the_original(task, monkeypatch):
    settings = {"num_envs": 3, "kwargs": {"max_episode_steps": 25}, "report": True}
    envs = make(f"{task}-v5", **settings)
    slow = with_the_original(f"{task}-v5", monkeypatch, **settings)
    assert torch.equal(envs.reset(), slow.reset())
    actions = random_actions(envs, 60)
    assert_same_bits(play(envs, actions), play(slow, actions))
    assert type(envs._group) is mujoco.MujocoGroup
    told = envs.reports.take()
    assert told == slow.reports.take()
    assert len(told["reward_survive" if task == "InvertedPendulum" else "x_velocity"]) > 5


@pytest.mark.parametrize(
    ("task", "kwargs"),
    [
        ("Hopper", {"healthy_z_range": [1.0, 2.0], "ctrl_cost_weight": 0.5, "frame_skip": 2}),
        ("Walker2d", {"terminate_when_unhealthy": False}),
        ("Ant", {"include_cfrc_ext_in_observation": False, "contact_cost_weight": 0.1}),
        ("HalfCheetah", {"exclude_current_positions_from_observation": False}),
    ],
)
def test_arguments_mean_what_they_mean_to_the_original(task, kwargs, monkeypatch):
    envs = make(f"{task}-v5", num_envs=2, kwargs=kwargs)
    slow = with_the_original(f"{task}-v5", monkeypatch, num_envs=2, kwargs=kwargs)
    assert torch.equal(envs.reset(), slow.reset())
    actions = random_actions(envs, 60)
    assert_same_bits(play(envs, actions), play(slow, actions))


@pytest.mark.parametrize("task", ["Hopper", "Ant"])
def test_a_run_goes_on_from_a_saved_state(task):
    envs = make(f"{task}-v5", num_envs=2)
    envs.reset()
    actions = random_actions(envs, 120)
    play(envs, actions[:70])
    saved = envs.state_dict()
    expected = play(envs, actions[70:])
    other = make(f"{task}-v5", num_envs=2)
    other.load_state_dict(saved)
    assert_same_bits(play(other, actions[70:]), expected)


def test_workers_use_the_same_forms():
    alone = make("Hopper-v5", num_envs=4, report=True)
    first = alone.reset()
    actions = random_actions(alone, 60)
    with make("Hopper-v5", "async", 4, workers=2, report=True) as envs:
        assert torch.equal(envs.reset(), first)
        assert_same_bits(play(envs, actions), play(alone, actions))
        assert envs.reports.take() == alone.reports.take() != {}


def test_rendered_and_wrapped_environments_keep_the_original():
    assert type(make("HalfCheetah-v4", num_envs=1)._group) is SlotGroup


def renamed(patch, kind):
    """Another version of the class: the weight of the control cost under another name."""
    begin = kind.__init__

    def init(self, *args, **kwargs):
        begin(self, *args, **kwargs)
        self._weight_of_control = self.__dict__.pop("_ctrl_cost_weight")

    patch.setattr(kind, "__init__", init)
    cost = lambda self, action: self._weight_of_control * np.sum(np.square(action))  # noqa: E731
    patch.setattr(kind, "control_cost", cost)


def more_telling(patch, kind):
    """Another version of the class: the same data, and a number from before the physics."""
    step = kind.step

    def telling(self, action):
        height = float(self.data.qpos[4])
        *result, info = step(self, action)
        return *result, info | {"height": height}

    patch.setattr(kind, "step", telling)


def costlier(patch, kind):
    """Another version of the class: the same names, another formula."""
    cost = kind.control_cost
    patch.setattr(kind, "control_cost", lambda self, action: 2.0 * cost(self, action))


@pytest.mark.parametrize(
    ("task", "change", "said"),
    [
        ("half_cheetah_v5:HalfCheetahEnv", renamed, "_ctrl_cost_weight"),
        ("walker2d_v5:Walker2dEnv", costlier, "rewards differ"),
        ("hopper_v5:HopperEnv", more_telling, "infos differ"),
    ],
)
def test_another_version_of_a_task_is_stepped_by_its_own_step(task, change, said, monkeypatch):
    module, name = task.split(":")
    kind = getattr(importlib.import_module(f"gymnasium.envs.mujoco.{module}"), name)
    env_id = name.removesuffix("Env") + "-v5"
    change(monkeypatch, kind)
    envs = make(env_id, num_envs=2)
    assert type(envs._group) is SlotGroup
    (note,) = envs.notes
    assert note.startswith(f"env.id: {env_id}: ") and said in note
    slow = with_the_original(env_id, monkeypatch, num_envs=2)
    assert torch.equal(envs.reset(), slow.reset())
    actions = random_actions(envs, 40)
    assert_same_bits(play(envs, actions), play(slow, actions))


@pytest.mark.parametrize("task", ["Hopper", "Walker2d", "Ant", "InvertedPendulum"])
def test_a_trial_is_long_enough_to_see_an_end(task):
    """So that the formulas of ends are tried too."""
    env = gymnasium.make(f"{task}-v5")
    env.action_space.seed(0), env.reset(seed=0)
    ended = [env.step(env.action_space.sample())[2] for _ in range(mujoco.TRIAL)]
    assert any(ended) and not all(ended)
