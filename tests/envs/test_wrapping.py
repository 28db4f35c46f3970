"""`env.wrappers`: each environment in wrappers of Gymnasium's or of the user's own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
from env_tools import assert_same_bits, make, play, random_actions
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv
from learner_tools import records, settings

from ppo import Trainer, load_policy
from ppo.core.errors import UserError
from ppo.envs.look import facts_of
from ppo.policies.evaluate import evaluate_policy, render

WRAPPERS = {
    "wrappers": ["gymnasium.wrappers:TimeLimit", "env_forms:Times", "env_forms:halved"],
    "wrappers_kwargs": {"TimeLimit": {"max_episode_steps": 9}, "Times": {"factor": 4.0}},
}
FLAT = "gymnasium.wrappers:FlattenObservation"


@pytest.mark.parametrize("backend", ["auto", "async", "shared"])
def test_they_are_what_a_factory_puts_around(backend):
    with make("CartPole-v1", backend, **WRAPPERS) as named, make("env_forms:make_wrapped") as made:
        assert (named.reset() == made.reset()).all()
        actions = random_actions(made, 40)
        steps = play(named, actions)
        assert_same_bits(steps, play(made, actions))
    assert any(step.truncated.any() for step in steps)
    assert {float(step.rewards.max()) for step in steps} == {4.0}


def test_the_first_one_is_the_innermost():
    shown = {}
    for order in ("halved", "shifted"), ("shifted", "halved"):
        with make("CartPole-v1", wrappers=[f"env_forms:{name}" for name in order]) as envs:
            shown[order[0]] = envs.reset()
    with make("CartPole-v1") as envs:
        plain = envs.reset()
    assert (shown["halved"] == plain / 2 + 1).all()
    assert (shown["shifted"] == (plain + 1) / 2).all()


def test_each_has_the_number_of_its_environment():
    more = {"wrappers_kwargs": {"shifted": {"by": "{index+100}"}}, "first_index": 2}
    with make("CartPole-v1", wrappers=["env_forms:shifted"], **more) as envs:
        assert envs.reset()[:, 0].round().tolist() == [102, 103, 104]


@pytest.mark.parametrize("limit", [5, 2000])
def test_tasks_whose_physics_are_shared_are_stepped_one_by_one(limit):
    """The inner limit of 1,000 steps holds as well."""
    pytest.importorskip("mujoco")
    given = {"TimeLimit": {"max_episode_steps": limit}}
    wrappers = {"wrappers": ["gymnasium.wrappers:TimeLimit"], "wrappers_kwargs": given}
    with make("HalfCheetah-v5", "auto", 1, **wrappers) as envs:
        envs.reset()
        steps = play(envs, random_actions(envs, 1001))
    ends = [number for number, step in enumerate(steps, 1) if step.truncated.any()]
    assert ends == (list(range(5, 1002, 5)) if limit == 5 else [1000])


def train(results: Path, batches: int, resume: str | None = None, **more: Any) -> Any:
    given = {f"env__{name}": value for name, value in WRAPPERS.items()} | {"env__backend": "auto"}
    with Trainer(settings("CartPole-v1", **given | more), results, resume=resume) as trainer:
        trainer.train(batches=batches)
        return trainer


def test_a_run_in_them_is_resumed_to_the_bit(tmp_path):
    whole = train(tmp_path / "whole", 4).folder.path
    train(tmp_path / "parts", 2)
    parts = train(tmp_path / "parts", 2, resume="run0001").folder.path
    assert records(parts) == records(whole)
    assert records(whole)[-1]["mean_episode_length"] <= 9


def test_the_policy_is_played_and_drawn_in_them(tmp_path):
    pytest.importorskip("pygame")
    folder = train(tmp_path, 1).folder.path
    policy = load_policy(folder, trust=True, which="latest")
    played = evaluate_policy(policy, episodes=3, seed=0)
    assert played["mean_length"] <= 9 and played["mean_return"] == 4 * played["mean_length"]
    assert render(policy, tmp_path / "drawn.gif", seed=0).exists()


def test_another_environment_comes_without_them(tmp_path):
    policy = load_policy(train(tmp_path, 1).folder.path, trust=True, which="latest")
    played = evaluate_policy(policy, episodes=3, seed=0, env="env_forms:make")
    assert played["mean_return"] == played["mean_length"] > 9


@pytest.mark.parametrize("backend", ["sync", "async"])
def test_the_look_before_a_run_sees_what_they_show(backend):
    sides = []
    for wrappers in ([], [FLAT]):
        given = {"env__wrappers": wrappers, "env__backend": backend}
        facts = facts_of(settings("image_env:Picture-v0", **given), None, plays=False)
        sides.append(facts.image_side)
    assert sides[0] > sides[1] == 0


WRONG = {
    "env_forms:make_nothing": "cannot be made with .*make_nothing: none: TypeError: make_nothing()",
    "env_forms:NUMBER": "cannot be made with .*: TypeError: 'int' object is not callable",
    "env_forms:Nothing": "the module env_forms has no Nothing; its classes: Maker, Times",
    "builtins:list": "cannot be made with env.wrappers_kwargs.list: none: TypeError",
    "builtins:str": "made an object of type str, which is no gymnasium.Env",
}


@pytest.mark.parametrize("path", WRONG)
def test_what_is_no_wrapper_is_refused(path):
    with pytest.raises(UserError, match=re.escape(f"env.wrappers: {path}") + f".*{WRONG[path]}"):
        make("CartPole-v1", wrappers=[path])


@pytest.mark.parametrize(
    "env", [CartPoleVectorEnv(4), "env_forms:make_all", gym.make("CartPole-v1")]
)
def test_what_is_made_already_or_all_at_once_is_wrapped_where_it_is_made(env, tmp_path):
    one = {"env__num_envs": 1, "ppo__num_minibatches": 1}
    config = settings("CartPole-v1", env__wrappers=[FLAT], env__backend="auto", **one)
    with pytest.raises(UserError, match="env.wrappers: .*; wrap it where it is made"):
        Trainer(config, tmp_path, env=env)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"backend": "torch"}, "write env.backend auto, sync or async"),
        ({"backend": "vector"}, "write env.backend auto, sync or async"),
        ({"wrappers_kwargs": "{Flat: {}}"}, "Flat is none of env.wrappers (there: FlattenObserva"),
        ({"wrappers": [FLAT, FLAT]}, "two of them are called FlattenObservation"),
        ({"wrappers": [FLAT.replace(":", ".")]}, f"package.module:Class; write {FLAT}"),
        ({"wrappers": FLAT.replace(":", ".")}, f"package.module:Class; write ['{FLAT}']"),
    ],
)
def test_settings_that_do_not_fit_are_one_line(changes, line):
    given = {"wrappers": [FLAT], "backend": "auto"} | changes
    with pytest.raises(UserError, match=re.escape(line)):
        settings("CartPole-v1", **{f"env__{name}": value for name, value in given.items()})
