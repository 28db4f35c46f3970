"""Every form of an environment: what is read from it, what it makes, what is refused."""

from __future__ import annotations

import json
import re

import gymnasium as gym
import numpy as np
import pytest
import torch
from env_tools import HOST, assert_same_bits, play, random_actions
from gymnasium.envs.classic_control.cartpole import CartPoleEnv, CartPoleVectorEnv

from ppo.config import Config, EnvConfig
from ppo.core.errors import UserError
from ppo.envs import make_environments
from ppo.envs.factory import Factory
from ppo.envs.given import read, settle
from ppo.envs.ids import find_spec
from ppo.envs.portable import from_text, to_text


def cartpole() -> gym.Env:
    return gym.make("CartPole-v1")


class Numbered(gym.Env):
    """Shows the number that it was made with."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (1,))
    action_space = gym.spaces.Discrete(2)

    def __init__(self, number: int = -1) -> None:
        self.number = number

    def reset(self, *, seed=None, options=None):
        return np.full(1, self.number, np.float32), {}

    def step(self, action):
        return np.full(1, self.number, np.float32), 0.0, False, False, {}


def numbered(index: int) -> gym.Env:
    return Numbered(index)


def make(env, backend: str = "auto", num_envs: int = 3, offset: int = 0, **settings):
    config = EnvConfig(id=settings.pop("id", "CartPole-v1"), backend=backend, **settings)
    return make_environments(
        config, env=env, run_seed=7, device=HOST, num_envs=num_envs, offset=offset
    )


def of_module(name: str) -> str:
    return f"env_forms:{name}"


FORMS = {
    "a registration": gym.spec("CartPole-v1"),
    "a class": CartPoleEnv,
    "a function": cartpole,
    "a lambda": lambda: gym.make("CartPole-v1"),
    "a path to a class": "gymnasium.envs.classic_control.cartpole:CartPoleEnv",
    "a path to a function": of_module("make"),
    "a path to an id": of_module("ID"),
    "a path to a method": of_module("Maker.make"),
    "a vector environment": CartPoleVectorEnv(3),
    "a class of vector environments": CartPoleVectorEnv,
    "a path to a factory of many": of_module("make_all"),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_bits_of_the_sync_backend(form):
    with make("CartPole-v1", "sync") as usual, make(FORMS[form]) as given:
        actions = random_actions(usual, 60)
        assert torch.equal(usual.reset(), given.reset())
        found = play(given, actions)
        assert_same_bits(play(usual, actions), found)
        assert any(step.finished.any() for step in found)


@pytest.mark.parametrize("form", ["a lambda", "a function", "a path to a function", "a class"])
def test_workers_are_given_what_makes_their_environments(form):
    with make("CartPole-v1", "sync") as usual, make(FORMS[form], "async", workers=1) as given:
        actions = random_actions(usual, 20)
        assert torch.equal(usual.reset(), given.reset())
        assert_same_bits(play(usual, actions), play(given, actions))


@pytest.mark.parametrize(
    ("backend", "factory"),
    [
        ("sync", numbered),
        ("sync", lambda index: Numbered(index)),
        pytest.param("async", numbered, marks=pytest.mark.slow),
    ],
)
def test_a_factory_is_given_the_number_of_the_environment(backend, factory):
    with make(factory, backend, offset=10, workers=2) as envs:
        assert envs.reset().flatten().tolist() == [10, 11, 12]


def test_what_has_no_such_parameter_is_given_no_number():
    with make(Numbered) as envs:
        assert envs.reset().flatten().tolist() == [-1, -1, -1]
    with make("env_forms:make_numbered", id="env_forms:make_numbered",
              kwargs={"index": 5}) as envs:  # fmt: skip
        assert envs.reset().flatten().tolist() == [5, 5, 5], "env.kwargs come first"


def test_arguments_are_for_the_environment_that_they_were_written_for():
    kwargs = {"number": 4}
    config = {"id": read(Numbered).id, "kwargs": kwargs}
    with make(Numbered, **config) as envs:
        assert envs.reset().flatten().tolist() == [4, 4, 4]
    with make(cartpole, **config) as envs:
        assert envs.reset().shape == (3, 4)


def test_an_instance_fills_one_slot_and_stays_open():
    env = gym.make("CartPole-v1")
    closed = []
    env.unwrapped.close = lambda: closed.append(True)
    with make("CartPole-v1", "sync", 1) as usual, make(env, num_envs=1) as given:
        assert torch.equal(usual.reset(), given.reset())
    assert not closed
    with pytest.raises(UserError, match='give a factory, env=lambda: gym.make."CartPole-v1".'):
        make(env, num_envs=2)
    with pytest.raises(UserError, match="an instance cannot be moved"):
        make(env, "async", 1)


def test_a_vector_environment_is_closed_by_whoever_made_it():
    class Watched(CartPoleVectorEnv):
        closings = 0

        def close(self, **_):
            Watched.closings += 1

    envs = Watched(3)
    make(envs).close()
    assert Watched.closings == 0
    make(Watched).close()
    assert Watched.closings == 1


def test_one_instance_for_several_slots_is_refused():
    env = gym.make("CartPole-v1")
    with pytest.raises(UserError, match="one and the same instance again.*env=lambda: gym.make"):
        make(lambda: env)


SPACES = [
    ("action", lambda i: gym.spaces.Discrete(2 + i), "n 2 -> 3"),
    ("action", lambda i: gym.spaces.Box(-1, 1 + i, (1,)), "high 1 -> 2"),
    ("observation", lambda i: gym.spaces.Box(-1, 1, (1 + i,)), r"shape \[1\] -> \[2\]"),
]


@pytest.mark.parametrize("backend", ["sync", "async"])
@pytest.mark.parametrize(("name", "space", "message"), SPACES)
def test_environments_of_unlike_spaces_are_refused(backend, name, space, message):
    """The second one would be acted in as if it were the first."""

    def unlike(index: int) -> gym.Env:
        env = Numbered(index)
        setattr(env, f"{name}_space", space(index % 2))
        return env

    swapped = message.replace("1 -> 2", "2 -> 1").replace("2 -> 3", "3 -> 2")
    told = rf"the {name} space of environment \d differs .* environment \d "
    with pytest.raises(UserError, match=rf"{told}\(({message}|{swapped}|.*2.* -> .*1.*)\)"):
        make(unlike, backend, num_envs=2, workers=2)


class Words(gym.Space):
    """Text of a space of its own, equal to no other, which a run folder cannot hold."""

    def __init__(self) -> None:
        super().__init__((), np.dtype(str))


@pytest.mark.parametrize("backend", ["sync", "async"])
def test_text_that_nobody_reads_makes_no_spaces_unlike(backend):
    class Told(Numbered):
        def __init__(self) -> None:
            super().__init__(3)
            shown = {"said": Words(), "x": Numbered.observation_space}
            self.observation_space = gym.spaces.Dict(shown)

        def reset(self, *, seed=None, options=None):
            return {"said": "go", "x": np.full(1, 3, np.float32)}, {}

    with make(Told, backend, num_envs=2, workers=2) as envs:
        assert envs.reset().tolist() == [[3.0], [3.0]]


def test_environments_whose_observations_have_other_bounds_are_taken():
    def bounded(index: int) -> gym.Env:
        env = Numbered(index)
        env.observation_space = gym.spaces.Box(0, 5 + index, (1,))
        return env

    with make(bounded, num_envs=2) as envs:
        assert envs.reset().tolist() == [[0.0], [1.0]]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (17, "an object of type int is none; give a Gymnasium id, package.module:name, a class"),
        (of_module("NUMBER"), "is an object of type int; name a class"),
        (of_module("nothing"), "has no nothing; did you mean env_forms:make_nothing"),
        (of_module("make_nothing"), "made an object of type NoneType"),
        (of_module("make_too_many"), "was asked for 3 environments .num_envs. and made 6"),
        (lambda: CartPoleVectorEnv(3), "a factory of many environments has a parameter num_envs"),
        (lambda size: None, "cannot be made.*missing 1 required positional argument: 'size'"),
        ("<__main__.make>", "an object of the program that trained; give it again"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(given, message):
    with pytest.raises(UserError, match=message) as caught:
        make(given)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("backend", ["async", "vector", "torch"])
def test_a_backend_that_an_object_does_not_have_is_refused(backend):
    with pytest.raises(UserError, match=f"env.backend: {backend}: .*allowed: auto$"):
        make(CartPoleVectorEnv(3), backend)


def test_the_settings_follow_from_an_object():
    config = Config.from_dict({}, ["env.num_envs=256"])
    settled, notes = settle(config, read(CartPoleVectorEnv(8)))
    assert settled.env.num_envs == 8 and settled.evaluation.env == "same"
    assert settled.env.id == "<gymnasium.envs.classic_control.cartpole.CartPoleVectorEnv>"
    assert [note.partition(":")[0] for note in notes] == ["evaluation.env", "env.num_envs"]
    assert notes[1].endswith("has so many, not 256")
    for open_or_alike in ([], ["env.num_envs=8"]):
        notes = settle(Config.load(None, open_or_alike), read(CartPoleVectorEnv(8)))[1]
        assert [note.partition(":")[0] for note in notes] == ["evaluation.env"]
    settled, notes = settle(config, read(cartpole))
    assert settled.env.num_envs == 256 and settled.evaluation.env == "separate" and not notes
    with pytest.raises(UserError, match="ppo.num_minibatches"):
        sets = ["ppo.num_steps=1", "ppo.num_minibatches=16"]
        settle(Config.from_dict({}, sets), read(CartPoleVectorEnv(3)))
    with pytest.raises(UserError, match="env.kwargs: the VectorEnv .* is made already"):
        settle(Config.from_dict({}, ["env.kwargs={a: 1}"]), read(CartPoleVectorEnv(8)))
    with pytest.raises(UserError, match="fills one slot, and env.num_envs is 256; give a factory"):
        settle(config, read(cartpole()))
    assert settle(Config(), read(cartpole()))[0].env.num_envs == 1
    assert settle(Config(), read(CartPoleVectorEnv(8)), ranks=2)[0].env.num_envs == 16


def test_what_an_import_finds_is_named_by_its_path():
    assert read(CartPoleEnv).id == "gymnasium.envs.classic_control.cartpole:CartPoleEnv"
    assert find_spec(read(CartPoleEnv).id) == read(CartPoleEnv).source
    assert read(lambda: None).id.startswith("<") and read(lambda: None).id.endswith(".lambda>")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("CartPole-v1", "the id CartPole-v1"),
        (gym.spec("CartPole-v1"), "the registration of CartPole-v1"),
        (CartPoleEnv(), "the instance of gymnasium.envs.classic_control.cartpole.CartPoleEnv"),
        (CartPoleVectorEnv(2), "the VectorEnv gymnasium.envs.*cartpole.CartPoleVectorEnv"),
        (
            CartPoleEnv,
            "the class gymnasium.*cartpole:CartPoleEnv .cartpole.py:[0-9]+.",
        ),
        (numbered, r"the factory .*test_given.numbered .test_given.py:[0-9]+."),
    ],
)
def test_what_was_given_has_words_for_messages(given, words):
    assert re.fullmatch(words, read(given).words)


# ---- as text, for another process


def test_a_class_of_a_registration_travels_by_name_or_whole():
    from sick_env import Sick

    class Local(gym.Env):
        pass

    spec = from_text(to_text(gym.envs.registration.EnvSpec("Other-v0", entry_point=Sick)))
    assert spec.entry_point is Sick
    spec = from_text(to_text(gym.envs.registration.EnvSpec("Local-v0", entry_point=Local)))
    assert spec.id == "Local-v0" and spec.entry_point.__name__ == "Local"


def test_a_registration_with_arguments_of_any_kind_travels():
    spec = gym.envs.registration.EnvSpec("Other-v0", "sick_env:Sick", kwargs={"shape": abs})
    assert from_text(to_text(spec)) == spec


def test_a_lambda_travels_with_what_it_needs():
    length = 3
    factory = Factory("<lambda>", lambda: length + 1)
    text = to_text(factory)
    json.loads(text)
    assert from_text(text).call() == 4


def test_what_cannot_travel_is_refused():
    from threading import Lock

    lock = Lock()
    with pytest.raises(UserError, match="env.backend: async: <made> cannot be sent"):
        to_text(Factory("<made>", lambda: lock))
