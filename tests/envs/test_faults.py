"""A fault in an environment ends in an error that names it, on every backend; never in a hang."""

from __future__ import annotations

import math
from multiprocessing.connection import wait

import numpy as np
import pytest
import torch
from env_tools import assert_same_bits, make, play, random_actions
from gymnasium import spaces

from ppo.core.errors import EnvironmentFault, UserError
from ppo.envs import episode_seed
from ppo.envs.host.checks import bounds_of, scalar
from ppo.envs.observations import ObservationEncoder

FAULTS = {  # fault: (error, what the message says)
    "raise": (EnvironmentFault, "the simulator fell over"),
    "raise_unpicklable": (EnvironmentFault, "held by a lock"),
    "exit": (EnvironmentFault, "SystemExit"),
    "nan_obs": (EnvironmentFault, "observation.* is not finite|not finite: entry 1 is nan"),
    "inf_obs": (EnvironmentFault, "not finite: entry 2 is inf"),
    "wrong_shape": (UserError, r"declared Box.*, but has shape \(1,\)"),
    "scalar_obs": (UserError, r"declared Box.*, but has shape \(\)"),
    "wrong_dtype": (UserError, "declared Box.*, but has dtype <U1"),
}
IN_STEP = FAULTS | {
    "nan_reward": (EnvironmentFault, "the reward is not finite"),
    "vector_reward": (UserError, "the reward must be one number"),
    "none_reward": (UserError, "the reward must be one number, got None"),
    "none_info": (UserError, "step must return"),
}
IN_RESET = FAULTS | {"reset_not_a_tuple": (UserError, "reset must return")}
QUICK_ASYNC = {"raise_unpicklable", "nan_reward", "wrong_shape"}
HANGS = {"hang": (EnvironmentFault, "gave no answer in 0.3 s"),
         "sigkill": (EnvironmentFault, "SIGKILL")}  # fmt: skip


def cases():
    for backend in ("sync", "async"):
        for at, faults in ((3, IN_STEP), (6, IN_STEP), (0, IN_RESET)):
            for fault in faults | (HANGS if backend == "async" else {}):
                quick = backend == "sync" or (fault in QUICK_ASYNC and at == 3)
                marks = () if quick else pytest.mark.slow
                yield pytest.param(backend, fault, at, marks=marks, id=f"{backend}-{fault}-{at}")


@pytest.mark.parametrize(("backend", "fault", "at"), cases())
def test_a_fault_names_environment_step_episode_and_seed(backend, fault, at):
    """Environment 1 of 3 misbehaves in its second episode, in the reset, midway, or at the end."""
    seed = episode_seed(7, 11, 1)
    settings = {"kwargs": {"fault": fault, "at": at, "seeds": [seed]}, "first_index": 10}
    if backend == "async":
        settings |= {"workers": 2, "step_timeout": 0.3}
    kind, message = (FAULTS | IN_STEP | IN_RESET | HANGS)[fault]
    with make("sick_env:Sick-v0", backend, 3, **settings) as envs:
        envs.reset()
        actions = random_actions(envs, 12)
        steps = []
        with pytest.raises(kind, match=message) as caught:
            for action in actions:
                steps.append(envs.step(action))
    assert len(steps) == (5 if at == 0 else 6 + at - 1)
    if fault != "sigkill":
        assert "environment 11 (Sick-v0)" in str(caught.value)
        assert f"episode 1 (seed {seed})" in str(caught.value)
        assert at == 0 or f"step {at} of" in str(caught.value)
    if fault == "raise" and at and backend == "async":
        assert "the simulator fell over" in caught.value.__notes__[0]
        assert "sick_env.py" in caught.value.__notes__[0]


@pytest.mark.parametrize("backend", ["sync", "async"])
@pytest.mark.parametrize(
    ("fault", "key"),
    [("raise", "on_error"), ("nan_obs", "on_nonfinite"), ("nan_reward", "on_nonfinite")],
)
def test_an_episode_with_a_fault_can_be_cut(backend, fault, key):
    at = 3
    seed = episode_seed(7, 1, 0)
    kwargs = {"fault": fault, "at": at, "seeds": [seed]}
    policy = {key: "restart" if key == "on_error" else "reset"}
    healthy = make("sick_env:Sick-v0", "sync", 3)
    first = healthy.reset()
    actions = random_actions(healthy, 12)
    expected = play(healthy, actions)
    with make("sick_env:Sick-v0", backend, 3, kwargs=kwargs, **policy) as envs:
        assert torch.equal(envs.reset(), first)
        steps = play(envs, actions)
        events = envs.drain_events()
    others = [0, 2]
    pick = [type(s)(*(f[others] for f in s[:-1])) for s in steps]
    assert_same_bits(pick, [type(s)(*(f[others] for f in s[:-1])) for s in expected])
    cut = steps[at - 1]
    assert cut.truncated.tolist() == [False, True, False] and not cut.terminated.any()
    assert cut.valid.tolist() == [True, False, True]
    assert cut.rewards[1, 0] == 0 and cut.success[1].isnan()
    assert torch.equal(cut.final_obs[1], steps[at - 2].obs[1]), "the last good observation"
    assert cut.obs[1, 0] == 0, "the next episode has begun"
    assert len(events) == 1
    assert "step 3 of episode 0" in events[0] and "the episode was cut" in events[0]
    assert all(torch.isfinite(s.obs).all() and torch.isfinite(s.rewards).all() for s in steps)


def test_an_environment_that_always_fails_is_not_restarted_for_ever():
    envs = make("sick_env:Sick-v0", "sync", 1, kwargs={"fault": "raise"}, on_error="restart")
    envs.reset()
    with pytest.raises(EnvironmentFault, match="4 in a row"):
        play(envs, random_actions(envs, 100))
    assert len(envs.events) == 3


def test_faults_count_in_a_row_alone():
    seeds = [episode_seed(7, 0, episode) for episode in (0, 2, 4, 6, 8)]
    kwargs = {"fault": "raise", "seeds": seeds}
    envs = make("sick_env:Sick-v0", "sync", 1, kwargs=kwargs, on_error="restart")
    envs.reset()
    steps = play(envs, random_actions(envs, 45))
    assert len(envs.events) == sum(not step.valid for step in steps) == 5


def test_a_cut_step_has_no_components():
    envs = make("sick_env:Parts-v0", "sync", 1, kwargs={"wrong": "raise"}, on_error="restart")
    envs.reset()
    steps = play(envs, [torch.tensor([1])] * 4)
    rewards = [step.rewards[0].tolist() for step in steps]
    assert rewards == [[1.0, -0.5], [2.0, -0.5], [0.0, 0.0], [1.0, -0.5]]


def test_an_error_says_which_setting_lets_the_run_go_on():
    for fault, key in [("raise", "env.on_error: restart"), ("nan_obs", "env.on_nonfinite: reset")]:
        envs = make("sick_env:Sick-v0", "sync", 1, kwargs={"fault": fault, "at": 1})
        envs.reset()
        with pytest.raises(EnvironmentFault, match=key):
            play(envs, random_actions(envs, 1))


@pytest.mark.parametrize("backend", ["sync", "async"])
def test_leaving_the_observation_space_is_told_once(backend):
    with make("sick_env:Sick-v0", backend, 2, kwargs={"fault": "outside"}) as envs:
        envs.reset()
        steps = play(envs, random_actions(envs, 20))
        (event,) = envs.events
    assert "environment 0 (Sick-v0) left its observation space: entry 1 was 99" in event
    assert "declared [-40, 40]" in event
    assert steps[2].obs[0, 1] == 99


@pytest.mark.filterwarnings("error")
def test_bounds_beyond_float32_are_none():
    space = spaces.Box(-1e300, 1e300, (2,), np.float64)
    low, high = bounds_of(space, ObservationEncoder(space, "Wide-v0"))
    assert np.isinf(low).all() and np.isinf(high).all()


class LastFirst:
    """A `select.poll` that waits for all, and reports the last first."""

    def __init__(self):
        self._files = []

    def register(self, file, events):
        self._files.append(file.fileno())

    def unregister(self, file):
        self._files.remove(file)

    def poll(self, milliseconds):
        return [(f, 1) for f in reversed(self._files) if wait([f], milliseconds / 1000)]


def test_what_workers_tell_does_not_depend_on_who_is_the_fastest(monkeypatch):
    monkeypatch.setattr("ppo.envs.workers.inquiry.select.poll", LastFirst)
    for backend in ("async", "shared"):
        with make("sick_env:Sick-v0", backend, 3, workers=3, kwargs={"fault": "outside"}) as envs:
            envs.reset()
            play(envs, random_actions(envs, 3))
            assert "environment 0 (Sick-v0)" in envs.events[0]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("sum", r"must sum to the reward.*the reward 4"),
        ("missing", "entries pace, cost in every"),
        ("more", "entries pace, cost in every step, got .*bonus"),
        ("nested", "step 1 .*: the component 'cost' must be one number, got {'fuel'"),
    ],
)
def test_components_that_break_their_rules_are_refused(wrong, message):
    envs = make("sick_env:Parts-v0", "sync", 2, kwargs={"wrong": wrong})
    envs.reset()
    with pytest.raises(UserError, match=message):
        play(envs, [torch.tensor([0, 0])] * 3)


def test_rewards_of_any_scalar_kind_are_numbers():
    for reward in (1, True, np.float32(1), np.int64(1), np.array(1.0), np.array([1.0])):
        assert scalar(str, reward) == 1.0
    assert math.isnan(scalar(str, np.float64("nan")))


@pytest.mark.parametrize("backend", ["sync", "async"])
def test_components_are_found_although_most_actions_are_refused(backend):
    with make("sick_env:Refusing-v0", backend, 1) as envs:
        assert envs.component_names == ("pace", "cost")
        envs.reset()
        assert envs.step(torch.tensor([7])).rewards.tolist() == [[1.0, -3.5]]


def test_components_that_come_late_are_refused_and_not_lost():
    envs = make("sick_env:Parts-v0", "sync", 1, kwargs={"wrong": "late"})
    envs.reset()
    with pytest.raises(UserError, match="step 2 of .* not in the first"):
        play(envs, random_actions(envs, 2))


@pytest.mark.parametrize("wrong", ["none", "alone"])
def test_a_reward_without_further_parts_is_one_component(wrong):
    envs = make("sick_env:Parts-v0", "sync", 1, kwargs={"wrong": wrong})
    envs.reset()
    assert envs.component_names == ("reward",)
    assert envs.step(torch.tensor([1])).rewards.tolist() == [[0.5]]


def test_a_component_may_be_an_array_of_one_entry():
    envs = make("sick_env:Parts-v0", "sync", 1, kwargs={"wrong": "arrays"})
    envs.reset()
    assert envs.step(torch.tensor([1])).rewards.tolist() == [[1.0, -0.5]]
