"""Simulators that speak in tensors: rows, ends, states, and what is refused."""

from __future__ import annotations

import contextlib

import gymnasium as gym
import numpy as np
import pytest
import torch
from env_tools import HOST, assert_same_bits, make, play, random_actions
from simulators import Everything, Native, Saving, Wrapped
from value_tools import SMALL

from ppo.algorithm import build
from ppo.config import Config, EnvConfig
from ppo.core.errors import EnvironmentFault, UserError
from ppo.envs import TorchVectorEnv, make_environments
from ppo.envs.base import episode_seed
from ppo.envs.native import REGISTRY
from ppo.envs.observations import ObservationEncoder
from ppo.envs.simulator import SEEDS
from ppo.envs.simulator_rows import ActionCaster
from ppo.envs.torch_env import TorchEnvironments


def simulated(env, **settings):
    return make_environments(EnvConfig(**settings), env=env, run_seed=7, device=HOST)


def test_it_gives_the_steps_that_the_simulator_made_though_it_shows_its_own_buffers():
    with make("CartPole-v1") as usual, simulated(Wrapped(make("CartPole-v1"))) as given:
        actions = random_actions(usual, 60)
        assert torch.equal(usual.reset(), given.reset())
        assert_same_bits(play(usual, actions), play(given, actions))
    native = TorchEnvironments(
        REGISTRY.get("CartPole-v1")(), 5, episode_seed(7, 0, 0) % SEEDS, HOST
    )
    with simulated(Native(5)) as given:
        assert given.backend == "simulator"
        actions = random_actions(given, 60)
        assert torch.equal(native.reset(), given.reset())
        assert_same_bits(play(native, actions), play(given, actions))


def test_each_reset_begins_other_episodes_until_the_seed_is_set():
    env = Native(2)
    with simulated(env) as envs:
        first, second = envs.reset().clone(), envs.reset().clone()
        envs.run_seed = 7
        assert not torch.equal(first, second) and torch.equal(envs.reset(), first)
    assert env.seeds[-1] == env.seeds[-3] == episode_seed(7, 0, 0) % SEEDS
    assert env.closings == 0, "it belongs to whoever made it"


def test_seeds_have_31_bits():
    env = Native(2)
    with make_environments(EnvConfig(), env=env, run_seed=0, device=HOST) as envs:
        envs.reset()
    assert env.seeds[-1] == episode_seed(0, 0, 0) - SEEDS == episode_seed(0, 0, 0) % 2**31


def test_a_simulator_that_was_made_here_is_closed_here():
    made = []

    def factory(num_envs: int):
        made.append(Native(num_envs))
        return made[-1]

    make_environments(EnvConfig(), env=factory, run_seed=7, device=HOST, num_envs=3).close()
    assert [env.num_envs for env in made] == [3] and made[0].closings == 1


def test_rows_are_those_that_arrays_are_encoded_as():
    env = Everything(4)
    with simulated(env) as envs:
        encoder = ObservationEncoder(env.single_observation_space, "it", 5)
        rows = [envs.reset(), *(step.obs for step in play(envs, random_actions(envs, 7)))]
        assert envs.layout == encoder.layout and envs.layout.num_mask == 5
        for row in rows:
            assert row.shape == (4, *encoder.shape) and row.dtype == torch.uint8
        told = env._observed(env.count)
        mask = env._mask()["action_mask"]
        for i in range(4):
            one = {key: value[i].numpy() for key, value in told.items()}
            expected = encoder.encode(one, mask[i].numpy())
            assert np.array_equal(rows[-1][i].numpy(), expected)


def test_ends_successes_and_components_are_read_where_they_mean_something():
    env = Everything(4)
    with simulated(env) as envs:
        assert envs.component_names == ("near", "far")
        start = envs.reset().clone()
        steps = play(envs, random_actions(envs, 6))
    ends = [(step.terminated.tolist(), step.truncated.tolist()) for step in steps]
    assert [i for i, end in enumerate(ends) if end[0][0]] == [2, 5]  # of 3 steps each
    assert [i for i, end in enumerate(ends) if end[1][1]] == [3]
    assert steps[0].rewards.tolist() == [[0, 0], [1, -2], [2, -4], [3, -6]]
    assert torch.equal(steps[2].obs[0], start[0]), "the next episode"
    assert not torch.equal(steps[2].final_obs[0], steps[2].obs[0])
    assert torch.equal(steps[2].final_obs[1], steps[2].obs[1])
    assert steps[2].success[0] == 1 and steps[3].success[1] == 0
    assert torch.isnan(steps[2].success[1:]).all()


@pytest.mark.parametrize("kind", [Native, Saving])
def test_a_state_goes_on_or_the_next_reset_is_repeated(kind):
    with simulated(kind(4)) as envs, simulated(kind(4)) as other:
        actions = random_actions(envs, 60)
        envs.reset()
        play(envs, actions[:30])
        mark, state = envs.mark(), envs.state_dict()
        further = play(envs, actions[30:])
        assert all(torch.equal(value, state[name]) for name, value in mark().items())
        obs = other.load_state_dict(mark())
        if kind is Native:
            assert envs.restore_level == other.restore_level == "boundary"
            assert torch.equal(obs, envs.reset()) and torch.equal(envs.reset(), other.reset())
            return
        assert_same_bits(further, play(other, actions[30:]))
        with pytest.raises(Exception, match="4 environments, env.num_envs gives 3"):
            simulated(kind(3)).load_state_dict(state)


def test_a_reset_that_does_not_repeat_itself_is_noticed():
    """Such as EnvPool's own objects, whose seeds are fixed when they are made."""

    class Unseeded(Native):
        def reset(self, seed=None):
            return super().reset(len(self.seeds) if hasattr(self, "seeds") else 0)

    for kind, count in ((Native, 0), (Unseeded, 1)):
        with simulated(kind(2)) as envs:
            envs.reset()
            state = envs.state_dict()
            play(envs, random_actions(envs, 3))
            assert "begun" not in envs.state_dict()
            envs.load_state_dict(state)
            assert len(envs.events) == count
            assert all("this resume is not exact" in event for event in envs.events)


def test_what_no_checkpoint_can_hold_is_refused():
    env = Saving(2)
    env.state_dict = lambda: {"rng": np.random.default_rng()}
    with simulated(env) as envs, pytest.raises(UserError, match="an object of type Generator"):
        envs.reset()
        envs.state_dict()


@pytest.mark.parametrize(
    "space",
    [
        gym.spaces.Box(-1, 1, (2,), np.float64),
        gym.spaces.Box(-3, 5, (2,), np.int32),
        gym.spaces.Box(0, 255, (2,), np.uint8),
        gym.spaces.Discrete(3),
        gym.spaces.MultiDiscrete([2, 3]),
    ],
)
def test_an_action_is_in_its_space_and_the_simulators_own(space):
    given = torch.full((2, *space.shape), 1.0 if space.dtype.kind != "i" else 1)
    given = given * (1000 if isinstance(space, gym.spaces.Box) else 1)
    given = given.long() if not isinstance(space, gym.spaces.Box) else given
    cast = ActionCaster(space, HOST)(given)
    assert all(space.contains(action.numpy().astype(space.dtype)) for action in cast)
    before = given.clone()
    cast.zero_()
    assert torch.equal(given, before)


def broken(env_id="CartPole-v1", /, **changes):
    env = Native(8, env_id=env_id) if env_id == "Pendulum-v1" else Native(3)
    whole = env.step

    def step(actions):
        obs, rewards, terminated, truncated, info = whole(actions)
        found = {"obs": obs, "rewards": rewards, "terminated": terminated, "truncated": truncated,
                 "final_obs": info["final_obs"]}  # fmt: skip
        found |= {name: change(found[name]) for name, change in changes.items()}
        final = found.pop("final_obs")
        return *found.values(), {} if final is None else {"final_obs": final}

    env.step = step
    return env


def fails(_):
    raise KeyError("goal")


@pytest.mark.parametrize(
    ("env", "message"),
    [
        (
            broken(obs=lambda x: x.numpy()),
            r"of float32 and shape \[3, 4\] on cpu, got an",
        ),
        (broken(obs=lambda x: None), "the observation must be a tensor .* got nothing"),
        (broken(obs=lambda x: x[:2]), r"got torch.float32 of shape \[2, 4\]"),
        (broken(rewards=lambda x: x.numpy()), "rewards must be a tensor of shape .3. on cpu"),
        (broken(rewards=lambda x: x[:2]), "rewards must be"),
        (broken(terminated=lambda x: x.to("meta")), "terminated must be .* on meta"),
        (broken(rewards=fails), r"step raised KeyError\('goal'\)"),
    ],
)
def test_what_breaks_the_protocol_is_named(env, message):
    with pytest.raises((UserError, EnvironmentFault), match=message) as caught:
        envs = simulated(env)
        envs.reset()
        for action in random_actions(envs, 100):
            envs.step(action)
        envs.drain_events()
    assert "\n" not in str(caught.value) and "Native" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("device", "warp", "its device 'warp' cannot be used: "),
        ("device", "cuda:99", "its device 'cuda:99' cannot be used: "),
        ("num_envs", 0, "its num_envs is 0, not 1 or more"),
        ("single_action_space", None, "its single_action_space is missing"),
    ],
)
def test_what_cannot_be_simulated_is_named(name, value, message):
    env = Native(2)
    setattr(env, name, value)
    with pytest.raises(UserError, match=f"Native>: {message}"):
        simulated(env)


def test_the_first_processor_is_the_processor():
    env = Native(2)
    env.device = "cpu:0"
    with simulated(env) as envs:
        assert envs.reset().device == HOST


class Shows(Native):
    """Observes what it was made with; masks are what `mask` says."""

    def __init__(self, space: gym.Space, obs: torch.Tensor, mask: list[float] | None = None):
        super().__init__(2)
        self.single_observation_space, self.shown = space, obs
        self.told = {} if mask is None else {"action_mask": torch.tensor([mask] * 2)}

    def reset(self, seed=None):
        super().reset(seed)
        return self.shown, self.told


CHOICE, PIXELS = gym.spaces.Discrete(3, start=4), gym.spaces.Box(0, 255, (2, 2, 3), np.uint8)
NUMBERS = gym.spaces.Box(0, 1, (1,))


@pytest.mark.parametrize(
    ("env", "message"),
    [
        (Shows(CHOICE, torch.tensor([4, 7])), r"is declared Discrete\(3, start=4\), but holds 7"),
        (Shows(CHOICE, torch.tensor([4.0, 5.0])), "must be a tensor of int64 .* torch.float32"),
        (Shows(PIXELS, torch.full((2, 2, 2, 3), 300)), "uint8.*, but holds 300"),
        (Shows(NUMBERS, torch.zeros(2, 1), [0, -torch.inf]), "action_mask must hold 0 and 1 alone"),
    ],
)
def test_what_no_row_can_hold_is_refused(env, message):
    """A choice that is none would be a row of zeros, and a pixel of 300 one of 44."""
    with pytest.raises(UserError, match=message):
        simulated(env).reset()


@pytest.mark.parametrize("told", [True, False])
def test_training_stops_where_a_time_limit_hides_the_state_it_cut(told):
    """Its value would be that of another episode's first state."""
    config = Config.from_dict({}, [*SMALL, "env.calibration_steps=0"])
    env = broken("Pendulum-v1", **({} if told else {"final_obs": lambda x: None}))
    learner = build.build_learner(config, build.build_environments(config, HOST, env=env), HOST)
    learner.start()
    for _ in range(6):  # of 30 steps; the limit is 200
        learner.step()
    message = "an episode was truncated and info has no 'final_obs'"
    with contextlib.nullcontext() if told else pytest.raises(UserError, match=message):
        learner.step()


def test_a_termination_needs_no_last_observation():
    with simulated(broken(final_obs=lambda x: None)) as envs:
        envs.reset()
        ends = [envs.step(action).terminated.any() for action in random_actions(envs, 100)]
        assert any(ends) and not envs.drain_events()


def test_the_end_of_an_episode_may_be_the_only_place_where_its_last_observation_is():
    env = broken()
    whole = env.step

    def step(actions):
        obs, rewards, terminated, truncated, info = whole(actions)
        told = {"final_observation": info["final_obs"]} if terminated.any() else {}
        return obs, rewards, terminated, truncated, told

    env.step = step
    with simulated(env) as envs, simulated(Native(3)) as other:
        actions = random_actions(envs, 60)
        envs.reset()
        other.reset()
        left, right = play(envs, actions), play(other, actions)
        assert all(torch.equal(a.final_obs, b.final_obs) for a, b in zip(left, right, strict=True))
        assert not envs.drain_events()


def test_a_reset_that_takes_no_seed_is_refused():
    env = Native(2)
    env.reset = lambda: (env.obs, {})
    with pytest.raises(UserError, match="reset must take a seed"):
        simulated(env)
    env.reset = lambda seed=None: None + 1  # another mistake of that type
    with pytest.raises(EnvironmentFault, match="TypeError"):
        simulated(env)


def test_the_protocol_can_be_asked_for():
    assert isinstance(Native(2), TorchVectorEnv)
    assert not isinstance(gym.make("CartPole-v1"), TorchVectorEnv)
