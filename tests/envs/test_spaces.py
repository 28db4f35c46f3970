"""Observations and actions of every supported space, and words for the others."""

from __future__ import annotations

import json
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from env_tools import make, play
from generated_spaces import any_space, boxes, choices
from gymnasium import spaces
from hypothesis import given
from hypothesis import settings as tried
from hypothesis import strategies as st
from sick_env import SPACES

from ppo.core.errors import UserError
from ppo.envs.actions import ActionDecoder
from ppo.envs.observations import (
    ObservationEncoder,
    layout_of,
    without_text,
)
from ppo.envs.spaces import describe, restore
from ppo.networks.distributions import distribution_for

FLAT = [
    "discrete",
    "multi_discrete",
    "square",
    "multi_binary",
    "matrix",
    "integers",
    "dict",
    "tuple",
]


def encoded(space: gym.Space, observation: Any, **options: Any) -> np.ndarray:
    return ObservationEncoder(space, "the environment", **options).encode(observation)


@pytest.mark.parametrize("name", FLAT)
def test_observations_are_flattened_as_gymnasium_does(name):
    space = SPACES[name]
    space.seed(0)
    for _ in range(20):
        sample = space.sample()
        expected = gym.spaces.flatten(space, sample).astype(np.float32)
        row = encoded(space, sample)
        assert row.dtype == np.float32
        np.testing.assert_array_equal(row, expected)
    assert layout_of(space).shape == row.shape


def test_the_keys_of_a_dict_are_sorted_however_the_space_was_built():
    from collections import OrderedDict

    a, b = spaces.Discrete(2), spaces.Box(-1, 1, (1,))
    there = spaces.Dict(OrderedDict(b=b, a=a))
    back = spaces.Dict(OrderedDict(a=a, b=b))
    observation = {"a": 1, "b": np.array([0.5], np.float32)}
    assert encoded(there, observation).tolist() == [0, 1, 0.5]
    assert encoded(back, observation).tolist() == [0, 1, 0.5]


def test_images_stay_as_they_are():
    envs = make("sick_env:Spaced-v0", "sync", 2, kwargs={"observation": "image"})
    obs = envs.reset()
    assert obs.dtype == torch.uint8 and obs.shape == (2, 4, 5, 3)
    assert envs.layout.shape == (4, 5, 3)


def test_keys_that_are_not_read_are_zeros():
    picture = spaces.Box(0, 255, (36, 36, 3), np.uint8)
    space = spaces.Dict({"a": picture, "b": picture, "c": spaces.Box(1, 2, (2,))})
    seen = space.sample()
    row = encoded(space, seen, keys=("b", "c"))
    numbers, pictures = row[:8].view(np.float32), row[8:].reshape(2, 36, 36, 3)
    assert np.array_equal(numbers, seen["c"]) and np.array_equal(pictures[1], seen["b"])
    assert not pictures[0].any() and seen["a"].any()


@pytest.mark.parametrize(
    ("action", "backend"),
    [
        ("discrete", "sync"),
        ("multi_discrete", "sync"),
        ("multi_binary", "sync"),
        ("matrix", "sync"),
        ("matrix", "async"),
    ],
)
def test_actions_of_every_space_arrive_in_it(action, backend):
    """The environment itself asserts that they do."""
    kwargs = {"action": action, "observation": "dict"}
    with make("sick_env:Spaced-v0", backend, 3, kwargs=kwargs) as envs:
        envs.reset()
        envs.action_space.seed(0)
        samples = [envs.action_space.sample() for _ in range(30)]
        dtype = torch.float32 if action == "matrix" else torch.int64
        actions = torch.as_tensor(np.array(samples)).to(dtype).unflatten(0, (10, 3))
        steps = play(envs, list(actions))
        assert sum(int(s.terminated.sum()) for s in steps) == 3
        assert steps[-1].obs.shape == (3, *layout_of(envs.observation_space).shape)


def test_text_is_left_out_of_a_dict_and_said_so():
    envs = make("sick_env:Spaced-v0", "sync", 1, kwargs={"observation": "text"})
    assert envs.reset().shape == (1, 2)
    assert envs.notes == [
        "env.id: Spaced-v0: entry 'words' of the observation is text and is left out"
    ]
    assert list(envs.observation_space.spaces) == ["x"]
    raw = {"words": "abc", "x": np.ones(2, np.float32)}
    assert encoded(envs.observation_space, raw).tolist() == [1, 1]
    assert without_text(SPACES["dict"]) is SPACES["dict"]


@pytest.mark.parametrize("name", ["sequence", "only_text"])
def test_an_observation_space_without_fixed_size_is_refused(name):
    with pytest.raises(UserError) as caught:
        make("sick_env:Spaced-v0", "sync", 1, kwargs={"observation": name})
    for word in ("env.id: Spaced-v0", type(SPACES[name]).__name__, "Box, Discrete", "Transform"):
        assert word in str(caught.value)


def test_an_action_space_that_nobody_can_act_in_is_refused():
    with pytest.raises(UserError, match="Spaced-v0: an action space of Dict.*TransformAction"):
        make("sick_env:Spaced-v0", "sync", 1, kwargs={"action": "dict"})


@pytest.mark.parametrize(
    ("space", "words"),
    [
        (spaces.Discrete(2**40), "1,099,511,627,776 values.*"),
        (spaces.MultiDiscrete([2**62, 2**62, 2**62]), "13,835,058,055,282,163,712 values.*"),
        (spaces.Box(-1, 1, (0,)), "has no entries"),
    ],
)
def test_a_space_that_no_network_can_have_is_refused_in_words(space, words):
    with pytest.raises(UserError, match=f"env.id: x: the observation.*{words}"):
        ObservationEncoder(space, "x")
    with pytest.raises(UserError, match=f"env.id: x: the action.*{words}"):
        ActionDecoder(space, "x")


@pytest.mark.parametrize(
    ("name", "observation", "message"),
    [
        ("discrete", 7, "is 7"),
        ("discrete", 1, "is 1"),
        ("multi_discrete", [0, 3, 0], "is \\[0 3 0\\]"),
        ("dict", {"b": np.zeros(2), "a": 0}, "entry 'inner.0' is missing"),
        ("tuple", (0, np.zeros(2)), "entry '1' of the observation is declared .* shape \\(2,\\)"),
        ("image", np.zeros((4, 5, 3)), "dtype float64"),
        ("matrix", [[1, 2], [3]], "not an array"),
    ],
)
def test_an_observation_outside_its_space_is_described(name, observation, message):
    with pytest.raises(ValueError, match=message):
        ObservationEncoder(SPACES[name], "x").encode(observation)


def same_to_the_bit(one: Any, other: Any) -> bool:
    """Equal spaces, whose bounds, dtypes and keys are equal too; Gymnasium compares loosely."""
    if type(one) is not type(other) or one != other or one.dtype != other.dtype:
        return False
    if isinstance(one, spaces.Box):
        names = ("low", "high", "bounded_below", "bounded_above")
        return all(np.array_equal(getattr(one, n), getattr(other, n)) for n in names)
    if isinstance(one, spaces.Dict):
        return list(one) == list(other) and all(same_to_the_bit(one[k], other[k]) for k in one)
    return not isinstance(one, spaces.Tuple) or all(map(same_to_the_bit, one, other))


@tried(max_examples=200, deadline=None)
@given(any_space())
def test_a_space_comes_back_from_a_checkpoint_as_it_was(space):
    assert same_to_the_bit(restore(json.loads(json.dumps(describe(space)))), space)


@pytest.mark.parametrize("read", [describe, lambda space: ObservationEncoder(space, "x")])
def test_a_key_that_json_cannot_hold_is_refused(read):
    """Before the first batch: no run folder could hold it."""
    with pytest.raises(UserError, match="neither a word nor a number"):
        read(spaces.Dict({("a", 1): spaces.Discrete(2)}))


RAW = st.one_of(st.sampled_from([0.0, 0.4, -0.5, 1.0, -1.0, 50.0, -50.0]), st.floats(-2, 2))


@tried(max_examples=200, deadline=None)
@given(boxes(), st.data(), st.sampled_from(["clip", "tanh"]))
def test_what_an_environment_gets_is_in_its_action_space(space, data, squash):
    count = int(np.prod(space.shape))
    raw = data.draw(st.lists(RAW, min_size=count, max_size=count))
    distribution = distribution_for(space, squash)
    actions = distribution.to_env(torch.tensor([raw], dtype=torch.float32))
    (action,) = ActionDecoder(space, "generated").array(actions.numpy())
    assert space.contains(np.asarray(action)), f"{action} is not in {space}"
    assert np.asarray(action).dtype == space.dtype


@tried(max_examples=100, deadline=None)
@given(
    boxes((np.float16, np.float32, np.int8, np.uint8, np.int16), finite=True),
    st.sampled_from(["clip", "tanh"]),
)
def test_a_policy_alone_keeps_its_actions_in_the_space(space, squash):
    """Exported, there is no environment that would bring them back."""
    distribution = distribution_for(space, squash)
    count = int(np.prod(space.shape))
    for raw in (-50.0, -0.3, 0.0, 0.7, 50.0):
        action = distribution.to_env(torch.full((1, count), raw))[0].numpy()
        assert space.contains(action.astype(space.dtype)), f"{action} is not in {space}"


@tried(max_examples=100, deadline=None)
@given(choices(), st.integers(0, 2**32))
def test_choices_of_every_shape_are_in_their_space(space, seed):
    distribution = distribution_for(space)
    source = torch.Generator().manual_seed(seed)
    params = torch.randn(3, distribution.num_params, generator=source)
    noise = torch.rand(3, distribution.num_params, generator=source).clamp(min=1e-6)
    actions = distribution.to_env(distribution.sample(params, noise)).numpy()
    for action in ActionDecoder(space, "generated").array(actions):
        assert space.contains(action), f"{action} is not in {space}"


def test_integers_are_the_nearest_and_not_the_next_towards_zero():
    space = spaces.Box(-2, 2, (5,), np.int64)
    wanted = np.array([[-1.9, -0.6, 0.4, 0.9, 9.0]], np.float32)
    assert ActionDecoder(space, "x").array(wanted).tolist() == [[-2, -1, 0, 1, 2]]
    normalized = torch.tensor([[-0.95, -0.3, 0.2, 0.45, 4.5]])
    assert distribution_for(space).to_env(normalized).tolist() == [[-2, -1, 0, 1, 2]]


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint64])
def test_the_largest_integer_is_not_the_smallest(dtype):
    top = np.iinfo(dtype).max
    decoder = ActionDecoder(spaces.Box(0, top, (1,), dtype), "x")
    assert int(decoder.array(np.array([[float(top)]], np.float32))[0, 0]) == top


@pytest.mark.parametrize(
    "space", [SPACES["image"], spaces.Dict(a=spaces.Box(0, 255, (40, 40, 3), np.uint8))]
)
def test_numbers_that_a_byte_cannot_hold_are_refused(space):
    encoder = ObservationEncoder(space, "x")

    def shown(number):
        shape = space.shape or space["a"].shape
        image = np.full(shape, 200, np.int64)
        image.flat[5] = number
        return {"a": image} if isinstance(space, spaces.Dict) else image

    assert 255 in encoder.encode(shown(255))
    for number in (-1, 256):
        with pytest.raises(ValueError, match=f"uint8.*but holds {number}"):
            encoder.encode(shown(number))


@pytest.mark.parametrize("backend", ["sync", "async"])
def test_a_time_stamp_that_float32_rounds_is_told(backend):
    with make("sick_env:Spaced-v0", backend, 2, kwargs={"observation": "stamp"}) as envs:
        (note,) = envs.notes
    assert "beyond 16,777,216" in note and "entry time.0 (1" in note
