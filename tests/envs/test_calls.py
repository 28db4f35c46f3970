"""Methods of the environments, called between steps: at once, exact again after a restore."""

from __future__ import annotations

import os
import signal

import pytest
from env_tools import assert_same_bits, make, random_actions

from ppo.core.errors import EnvironmentFault, UserError

ENV = "curriculum_env:Curriculum-v0"
CALLS = {0: 1.0, 7: 0.5, 8: 0.25, 40: 2.0}  # before which step, and by how much harder


def play(envs, actions, start: int = 0) -> list:
    """Steps with the calls of CALLS between them."""
    steps = []
    for number, action in enumerate(actions, start):
        if number in CALLS:
            envs.call("harder", CALLS[number], {"extra": 0.125})
        steps.append(envs.step(action))
    return steps


@pytest.fixture(scope="module")
def whole():
    with make(ENV) as envs:
        envs.reset()
        actions = random_actions(envs, 60)
        return actions, play(envs, actions)


def test_a_call_gives_what_each_environment_gives():
    for backend in ("sync", "async", "shared"):
        with make(ENV, backend, workers=2) as envs:
            envs.reset()
            assert envs.call("harder", 1.0) == [1.0, 1.0, 1.0]
            assert envs.call("harder", 1.0) == [1.9, 1.9, 1.9]
            told = {"calls": 2, "level": 0.5, "place": [0, 1]}
            assert envs.call("told") == [told] * 3, "numpy's numbers are numbers"
            assert envs.call("this") == [None, None, None], "what is not plain stays there"


def test_backends_agree(whole):
    actions, steps = whole
    for backend in ("async", "shared"):
        with make(ENV, backend, workers=2) as envs:
            envs.reset()
            assert_same_bits(play(envs, actions), steps)


def test_a_call_changes_what_follows(whole):
    actions, steps = whole
    with make(ENV) as envs:
        envs.reset()
        with pytest.raises(AssertionError):
            assert_same_bits([envs.step(action) for action in actions], steps)


@pytest.mark.parametrize("backend", ["sync", "async"])
@pytest.mark.parametrize("stop", [0, 7, 8, 30, 41])
def test_a_restored_state_has_the_calls_at_their_steps(whole, backend, stop):
    """In new environments, and in those that went on meanwhile."""
    actions, steps = whole
    with make(ENV, backend, workers=1) as envs:
        envs.reset()
        play(envs, actions[:stop])
        state = {name: value.clone() for name, value in envs.state_dict().items()}
        marked = envs.mark()
        play(envs, actions[stop : stop + 3], stop)
        assert marked().keys() == state.keys()
        assert all((marked()[name] == state[name]).all() for name in state)
        envs.load_state_dict(state)
        assert_same_bits(play(envs, actions[stop:], stop), steps[stop:])
        assert envs.events == []
    with make(ENV, "sync") as fresh:
        fresh.load_state_dict(state)
        again = fresh.state_dict()
        assert again.keys() == state.keys() and all((again[n] == state[n]).all() for n in state)
        assert_same_bits(play(fresh, actions[stop:], stop), steps[stop:])
        assert fresh.events == []


@pytest.mark.parametrize("backend", ["sync", "async", "shared"])
def test_a_call_since_the_last_step_is_restored(whole, backend):
    actions, _ = whole
    with make(ENV, backend, workers=2) as envs, make(ENV, backend, workers=2) as fresh:
        envs.reset()
        for action in actions[:5]:
            envs.step(action)
        envs.call("harder", 1.0)
        fresh.load_state_dict(envs.state_dict())
        assert_same_bits([fresh.step(actions[5])], [envs.step(actions[5])])
        assert fresh.call("harder", 0.0) == envs.call("harder", 0.0)


def test_a_reset_keeps_the_calls():
    with make(ENV) as envs:
        envs.reset()
        envs.call("harder", 1.0)
        first = envs.reset()
        with make(ENV) as fresh:
            fresh.load_state_dict(envs.state_dict())
            assert fresh.events == [] and (fresh._current() == first).all()


@pytest.mark.parametrize("at", [5, 20])
def test_a_new_worker_has_the_calls_too(whole, at):
    actions, steps = whole
    with make(ENV, "async", workers=2) as envs:
        envs.reset()
        found = play(envs, actions[:at])
        os.kill(envs._workers[0].process.pid, signal.SIGKILL)
        found += play(envs, actions[at:], at)
        assert_same_bits(found, steps)
        assert len(envs.events) == 1 and "replaced" in envs.events[0]


@pytest.mark.parametrize("next_comes", ["call", "reset"])
def test_a_worker_that_is_gone_is_replaced_before_a_call_and_before_a_reset(next_comes):
    levels = []
    for kill in (False, True):
        with make(ENV, "async", workers=2) as envs:
            envs.reset()
            envs.call("harder", 1.0)
            for action in random_actions(envs, 5):
                envs.step(action)
            if kill:
                os.kill(envs._workers[0].process.pid, signal.SIGKILL)
                envs._workers[0].process.wait()
            if next_comes == "reset":
                levels.append(envs.reset().tolist())
            levels.append([envs.call("harder", 1.0), envs.step(action).obs.tolist()])
            assert len(envs.events) == kill, envs.events
    assert levels[: len(levels) // 2] == levels[len(levels) // 2 :]


def test_an_environment_that_is_built_anew_has_its_calls():
    with make(ENV, on_error="restart", kwargs={"breaks_at": 2}) as envs:
        envs.reset()
        envs.call("harder", 1.0)
        for action in random_actions(envs, 3):
            envs.step(action)
        assert any("broken" in event for event in envs.events)
        assert envs.call("harder", 0.0) == [0.9] * 3


def test_what_cannot_be_called_is_told():
    for backend in ("sync", "async"):
        with make(ENV, backend, workers=2) as envs:
            envs.reset()
            with pytest.raises(UserError, match="Curriculum-v0 has no method 'easier'"):
                envs.call("easier")
            assert envs.call("harder", 1.0) == [1.0] * 3, "nothing has happened"
            with pytest.raises(UserError, match="harder: arguments must be numbers"):
                envs.call("harder", object())
            with pytest.raises(EnvironmentFault, match=r"environment 0 .*fail raised ZeroDiv"):
                envs.call("fail")
            with pytest.raises(EnvironmentFault, match="fail raised"):
                envs.step(random_actions(envs, 1)[0])
    for env, backend in (("CartPole-v1", "vector"), ("CartPole-v1", "torch")):
        with make(env, backend) as envs, pytest.raises(UserError, match=f"env.backend {backend}"):
            envs.call("harder")
