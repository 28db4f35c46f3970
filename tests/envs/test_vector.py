"""Gymnasium's vectorized environments: CartPole to the bit, the others by their rules."""

from __future__ import annotations

import functools
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from env_tools import assert_same_bits, make, play, random_actions
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from ppo.core.errors import EnvironmentFault, UserError
from ppo.envs.host.slot import Task
from ppo.envs.vector import VectorEnvironments


class Counting(VectorEnv):
    """Observes how many steps its episode has; episode i of env n takes 3 + n steps."""

    single_observation_space = spaces.Box(0, np.inf, (1,))
    single_action_space = spaces.Box(-1, 1, (1,))
    action_space = spaces.Box(-1, 1, (2, 1))
    num_envs = 2

    def __init__(self, mode: AutoresetMode, declared: Any = "the mode", **odd: Any) -> None:
        self.mode = mode
        self.odd = odd  # key: of the state reached; column: rewards [N, 1]
        self.metadata = {"autoreset_mode": mode if declared == "the mode" else declared}
        if declared is None:
            self.metadata = {}

    def reset(self, *, seed=None, options=None):
        self.count = np.zeros(2, np.float32)
        self.over = np.zeros(2, bool)
        return self.count[:, None].copy(), {}

    def step(self, actions):
        restarted = self.over & (self.mode == AutoresetMode.NEXT_STEP)
        self.count = np.where(restarted, 0, self.count + 1).astype(np.float32)
        self.over = self.count >= [3, 4]
        infos = {"is_success": np.ones(2), "_is_success": self.over}
        reached = self.count[:, None].copy()
        if self.mode == AutoresetMode.SAME_STEP:
            key = self.odd.get("key", "final_obs")
            told = self.odd.get("told", "final_info")
            if told == "before 1.0":
                one = {"is_success": True, "place": np.zeros(2), "score": 5}
                infos = {"final_info": [one if over else None for over in self.over]}
            infos = infos if told != "final_info" else {"final_info": infos}
            infos |= {key: reached, "_" + key: self.over}
            self.count[self.over] = 0
        infos |= self.odd.get("infos", {})
        rewards = np.where(restarted, 99, reached[:, 0])
        if self.odd.get("column"):
            rewards = rewards[:, None]
        over = self.over | restarted if self.odd.get("lingers") else self.over
        return self.count[:, None].copy(), rewards, over, np.zeros(2, bool), infos


def counting(mode: AutoresetMode, *declared: Any, **odd: Any) -> VectorEnvironments:
    kwargs = odd.pop("kwargs", {})
    return VectorEnvironments(Counting(mode, *declared, **odd), "Counting", Task(kwargs, 0), 0)


@pytest.mark.parametrize("limit", [500, 30])
def test_cartpole_is_bit_identical_to_sync(limit):
    kwargs = {"max_episode_steps": limit}
    single, vector = (
        make("CartPole-v1", backend, 37, kwargs=kwargs, first_index=5)
        for backend in ("sync", "auto")
    )
    assert (single.backend, vector.backend) == ("sync", "vector")
    assert torch.equal(single.reset(), vector.reset())
    actions = random_actions(single, 300)
    steps = play(vector, actions)
    assert_same_bits(steps, play(single, actions))
    assert all(step.uneventful != bool(step.begins_anew.any()) for step in steps)
    assert any(step.uneventful for step in steps)
    assert sum(int(s.truncated.sum()) for s in steps) > 0 or limit == 500
    assert sum(int(s.terminated.sum()) for s in steps) > 100


def test_cartpole_goes_on_from_a_saved_state_with_the_same_bits():
    envs = make("CartPole-v1", "vector", 9)
    envs.reset()
    actions = random_actions(envs, 120)
    play(envs, actions[:55])
    saved = envs.state_dict()
    expected = play(envs, actions[55:])
    other = make("CartPole-v1", "vector", 9)
    obs = other.load_state_dict(saved)
    again = play(other, actions[55:])
    assert obs.shape == (9, 4)
    assert_same_bits(again, expected)


@pytest.mark.parametrize("lingers", [False, True])
def test_the_step_after_an_end_is_masked_under_next_step_autoreset(lingers):
    """Also where it says once more that the episode has ended."""
    envs = counting(AutoresetMode.NEXT_STEP, lingers=lingers)
    envs.reset()
    steps = play(envs, [torch.zeros(2, 1)] * 6)
    assert [s.obs[0].item() for s in steps] == [1, 2, 3, 0, 1, 2]
    assert [bool(s.valid[0]) for s in steps] == [True, True, True, False, True, True]
    assert [bool(s.terminated[0]) for s in steps] == [False, False, True, False, False, False]
    assert [s.rewards[0, 0].item() for s in steps] == [1, 2, 3, 0, 1, 2]
    assert not any(s.truncated.any() for s in steps)
    assert steps[2].success[0] == 1 and steps[2].success[1].isnan()


def test_the_state_reached_is_given_under_same_step_autoreset():
    envs = counting(AutoresetMode.SAME_STEP)
    envs.reset()
    steps = play(envs, [torch.zeros(2, 1)] * 6)
    assert [s.obs[0].item() for s in steps] == [1, 2, 0, 1, 2, 0]
    assert [s.final_obs[0].item() for s in steps] == [1, 2, 3, 1, 2, 3]
    assert all(s.valid.all() for s in steps)
    assert steps[2].success[0] == 1 and steps[2].success[1].isnan()


def test_a_vector_environment_without_autoreset_is_refused():
    with pytest.raises(UserError, match="autoreset"):
        counting(AutoresetMode.DISABLED)


def test_other_vector_environments_resume_at_a_reset():
    envs = counting(AutoresetMode.NEXT_STEP)
    assert envs.restore_level == "boundary"
    seeds = []
    envs.env.reset = lambda seed: (seeds.append(seed), (np.zeros((2, 1)), {}))[1]  # type: ignore
    envs.reset()
    envs.reset()
    state = envs.state_dict()
    envs.reset()
    envs.load_state_dict(state)
    assert seeds[3] == seeds[1] and len(set(seeds[:3])) == 3
    envs.run_seed = envs.run_seed  # an evaluation starts over: it plays the same episodes
    envs.reset()
    assert seeds[4] == seeds[0]


def test_an_environment_without_a_vectorized_form_says_so():
    with pytest.raises(UserError, match="env.backend: vector: Pendulum-v1 .* auto, sync or async"):
        make("Pendulum-v1", "vector")


def test_a_nonfinite_value_in_a_vector_environment_is_a_fault():
    envs = counting(AutoresetMode.NEXT_STEP)
    envs.reset()
    envs.env.count[1] = np.nan
    with pytest.raises(EnvironmentFault, match=r"environment 1 \(Counting\)"):
        envs.step(torch.zeros(2, 1))


def test_gymnasium_is_new_enough_to_name_its_autoreset():
    assert "autoreset_mode" in gym.make_vec("CartPole-v1", 1).metadata


def played(envs: VectorEnvironments) -> list:
    envs.reset()
    return play(envs, [torch.zeros(2, 1)] * 12)


@pytest.mark.parametrize(
    ("mode", "declared", "odd"),
    [
        (AutoresetMode.SAME_STEP, "SameStep", {}),
        (AutoresetMode.SAME_STEP, "same_step", {"key": "final_observation"}),
        (AutoresetMode.SAME_STEP, None, {}),
        (AutoresetMode.SAME_STEP, None, {"key": "final_observation", "column": True}),
        (AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP, {}),
        (AutoresetMode.NEXT_STEP, None, {}),
        (AutoresetMode.NEXT_STEP, "NextStep", {"column": True}),
    ],
)
def test_a_vector_environment_is_read_as_it_is_and_not_as_it_says(mode, declared, odd):
    envs = counting(mode, declared, **odd)
    assert_same_bits(played(envs), played(counting(mode)))
    adapted = mode == AutoresetMode.SAME_STEP and declared in (None, AutoresetMode.NEXT_STEP)
    assert len(envs.events) == adapted and all("read so" in event for event in envs.events)


def test_what_cannot_be_read_is_refused():
    with pytest.raises(UserError, match="autoreset_mode.*'sometimes'.*known: NextStep"):
        counting(AutoresetMode.SAME_STEP, "sometimes")
    with pytest.raises(UserError, match="no 'final_obs' with the state reached"):
        played(counting(AutoresetMode.SAME_STEP, key="last"))
    with pytest.raises(UserError, match="no 'final_obs' with the state reached"):
        played(counting(AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP))


def test_another_number_than_was_asked_for_is_refused():
    two = functools.partial(Counting, AutoresetMode.NEXT_STEP)
    gym.register("Two-v0", Counting, vector_entry_point=lambda num_envs: two())
    try:
        with pytest.raises(UserError, match="Two-v0 was asked for 3 environments .* and made 2"):
            make("Two-v0", "vector", 3)
    finally:
        gym.registry.pop("Two-v0")


class Odd(Counting):
    """What `odd["change"]` makes of the values of a step."""

    def step(self, actions):
        return self.odd["change"](*super().step(actions))


def wrong(change):
    envs = VectorEnvironments(Odd(AutoresetMode.SAME_STEP, change=change), "Odd", Task({}, 0), 0)
    return played(envs)


def of_tensors(obs, rewards, ends, limits, infos):
    obs, rewards = (torch.tensor(part, requires_grad=True) for part in (obs, rewards))
    return obs, rewards, torch.tensor(ends), torch.tensor(limits), infos


def test_tensors_with_gradients_are_numbers():
    rewards = [step.rewards[:, 0].tolist() for step in wrong(of_tensors)]
    assert rewards == [step.rewards[:, 0].tolist() for step in wrong(lambda *given: given)]


WRONG = [
    (lambda o, r, e, c, i: (o, r, e * np.nan, c, i), "terminated must be True or False, got .nan"),
    (lambda o, r, e, c, i: (o, r, r - 0.5, c, i), "terminated must be True or False, got .0.5"),
    (  # only those that ended
        lambda o, r, e, c, i: (o, r, e, c, i | {"final_obs": o[:1]}),
        r"infos\['final_obs'\] must hold one for each environment, 2 in all, got array",
    ),
    (
        lambda o, r, e, c, i: (o, r, e, c, i | {"final_obs": None}),
        "infos.* must hold one for each environment, 2 in all, got None",
    ),
    (
        lambda o, r, e, c, i: (o, r, e, c, i | {"final_obs": np.array(1.0)}),
        "infos.* must hold one for each environment, 2 in all, got array",
    ),
    (
        lambda o, r, e, c, i: (o, r, e, c, i | {"final_obs": np.zeros((2, 2))}),
        r"the observation is declared Box.*, but has shape \(2,\)",
    ),
]


@pytest.mark.parametrize(("change", "message"), WRONG)
def test_what_a_step_gives_and_cannot_be_is_refused(change, message):
    with pytest.raises(UserError, match=f"Odd: {message}"):
        wrong(change)


def test_entries_of_another_form_are_refused():
    space = spaces.Dict(a=spaces.Box(0, 9, (2,)))
    for shown in ({"b": np.zeros((2, 2))}, {"a": np.zeros((2, 3))}, np.zeros((2, 2))):
        odd = Counting(AutoresetMode.SAME_STEP)
        odd.single_observation_space = space
        odd.observation_space = batch_space(space, 2)
        odd.reset = lambda shown=shown, **_: (shown, {})
        with pytest.raises(UserError, match="Odd: .*(observations must be those of|has shape)"):
            VectorEnvironments(odd, "Odd", Task({}, 0), 0).reset()


def test_a_vector_environment_without_spaces_or_metadata_is_no_riddle():
    odd = Counting(AutoresetMode.NEXT_STEP)
    odd.metadata = None
    assert VectorEnvironments(odd, "Odd", Task({}, 0), 0).reset().shape == (2, 1)
    odd.single_observation_space = None
    with pytest.raises(UserError, match="Odd: its single_observation_space is missing"):
        VectorEnvironments(odd, "Odd", Task({}, 0), 0)


def test_a_time_limit_among_the_arguments_is_seen():
    assert counting(AutoresetMode.NEXT_STEP, kwargs={"max_episode_steps": 9}).max_episode_steps == 9


def test_components_that_are_not_read_are_told_of_once():
    envs = counting(AutoresetMode.NEXT_STEP, infos={"reward_components": {"pace": np.ones(2)}})
    played(envs)
    (event,) = envs.events
    assert "'reward_components'] of Counting are not read" in event


@pytest.mark.parametrize("told", ["final_info", "beside", "before 1.0"])
def test_success_is_read_wherever_it_is_told_in_the_step_that_ends_an_episode(told):
    envs = VectorEnvironments(
        Counting(AutoresetMode.SAME_STEP, told=told), "Counting", Task({}, 0, report=True), 0
    )
    envs.reset()
    steps = [envs.step(torch.zeros(2, 1)) for _ in range(4)]
    assert [step.success.nan_to_num(9).tolist() for step in steps[2:]] == [[1, 9], [9, 1]]
    assert envs.reports.take().get("score") == ([5.0, 5.0] if told == "before 1.0" else None)


@pytest.mark.parametrize("said", [True, np.ones(1), [True] * 3])
def test_success_that_is_not_of_each_environment_is_refused(said):
    envs = counting(AutoresetMode.NEXT_STEP, infos={"is_success": said})
    envs.reset()
    with pytest.raises(UserError, match=r"infos\['is_success'\] must hold one for each .* 2 in"):
        for _ in range(4):
            envs.step(torch.zeros(2, 1))


def test_an_array_that_is_not_of_each_environment_is_no_report_of_any():
    envs = VectorEnvironments(
        Counting(AutoresetMode.NEXT_STEP, infos={"pair": np.ones(1), "score": np.full(2, 5.0)}),
        "Counting", Task({}, 0, report=True), 0,
    )  # fmt: skip
    played(envs)
    assert set(envs.reports.take()) == {"score"}
