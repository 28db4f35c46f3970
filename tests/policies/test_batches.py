"""`predict` takes one observation or a batch of them, in every space, and means the same."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces
from learner_tools import settings

from ppo import Trainer
from ppo.algorithm.build import build_agent
from ppo.core.errors import UserError
from ppo.envs.observations import layout_of
from ppo.policies.batches import rows_of
from ppo.policies.policy import Policy

BOX = spaces.Box(-1, 1, (3,))
NESTED = spaces.Dict(
    {"near": BOX, "kind": spaces.Discrete(4), "pair": spaces.Tuple((BOX, spaces.MultiBinary(2))),
     "word": spaces.Text(5)}
)  # fmt: skip


def stacked(space, observations):
    """As a vector environment gives them."""
    if isinstance(space, spaces.Dict):
        return {k: stacked(s, [o[k] for o in observations]) for k, s in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(stacked(s, [o[i] for o in observations]) for i, s in enumerate(space.spaces))
    return np.array(observations)


def policy(space, actions, **more):
    config = settings("any", **more)
    agent, _ = build_agent(config, layout_of(space), actions, 1)
    return Policy(agent, config, space, actions)


@pytest.mark.parametrize("space", [BOX, NESTED, spaces.Discrete(3), spaces.Box(-1, 1, ())],
                         ids=["box", "nested", "discrete", "number"])  # fmt: skip
@pytest.mark.parametrize("actions", [spaces.Discrete(5, start=3), spaces.Box(-2, 2, (2,))])
def test_a_batch_gives_what_each_of_its_observations_gives(space, actions):
    acting = policy(space, actions)
    space.seed(0)
    observations = [space.sample() for _ in range(6)]
    together = acting.predict(stacked(space, observations))
    alone = [acting.predict(observation) for observation in observations]
    assert np.shape(together) == (6, *actions.shape) and together.dtype == actions.dtype
    np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-6)
    assert all(actions.contains(action) for action in together)
    assert np.shape(acting.predict(stacked(space, observations[:1]))) == (1, *actions.shape)


def test_none_are_no_actions_and_one_more_axis_is_too_many():
    acting = policy(BOX, spaces.Discrete(5))
    assert acting.predict(np.zeros((0, 3))).shape == (0,)
    for wrong in (np.zeros((2, 2, 3)), np.zeros(4), np.zeros((2, 4))):
        with pytest.raises(ValueError, match="shape"):
            acting.predict(wrong)


def test_entries_of_different_numbers_are_refused():
    space = spaces.Dict({"a": BOX, "b": BOX})
    with pytest.raises(ValueError, match="hold 2 and 3"):
        rows_of(space, {"a": np.zeros((2, 3)), "b": np.zeros((3, 3))})
    with pytest.raises(ValueError, match="hold 2 and one"):
        rows_of(space, {"a": np.zeros((2, 3)), "b": np.zeros(3)})
    with pytest.raises(ValueError, match="'b' is missing"):
        policy(space, spaces.Discrete(2)).predict({"a": np.zeros((2, 3))})


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("actions", [spaces.Discrete(2), spaces.Box(-2, 2, (2,))])
def test_what_is_not_finite_is_refused_by_its_entry(value, actions):
    acting = policy(BOX, actions, network__memory="gru")
    acting.predict([0.0, 0.0, 0.0])
    before = acting.states[0].clone()
    with pytest.raises(ValueError, match=rf"^entry 1 of the observation is {value}$"):
        acting.predict([0.0, value, 0.0])
    assert (acting.states[0] == before).all(), "it forgets nothing by it"
    acting.reset()
    many = np.zeros((4, 3))
    many[2, 0] = value
    with pytest.raises(ValueError, match=rf"^entry 0 of observation 2 is {value}$"):
        acting.predict(many)
    NESTED.seed(0)
    one, nested = NESTED.sample(), policy(NESTED, actions)
    one["pair"] = (np.array([0, 0, value], np.float32), one["pair"][1])
    with pytest.raises(ValueError, match=rf"^entry 2 of 'pair.0' of the observation is {value}$"):
        nested.predict(one)
    image = spaces.Box(0, 255, (40, 40, 3), np.uint8)
    policy(image, actions).predict(image.sample())  # bytes always are


def test_each_observation_of_a_batch_has_its_own_mask(tmp_path):
    trainer = Trainer(settings("masked_env:MaskedInfo-v0", train__total_timesteps=64), tmp_path)
    trainer.train()
    size = trainer.policy.agent.layout.num_mask
    observations = np.zeros((size, *trainer.envs.observation_space.shape))
    assert trainer.policy.predict(observations, action_mask=np.eye(size)).tolist() == [*range(size)]
    with pytest.raises(UserError, match="1 masks for"):
        trainer.policy.predict(observations, action_mask=np.eye(size)[:1])


def test_a_memory_remembers_each_row_of_a_batch_by_itself():
    acting = policy(BOX, spaces.Box(-1, 1, (2,)), network__memory="gru")
    rows = np.random.default_rng(0).normal(size=(4, 3, 3)).astype(np.float32)
    together = [acting.predict(row) for row in rows]
    for i in range(3):
        acting.reset()
        alone = [acting.predict(row[i]) for row in rows]
        np.testing.assert_allclose([step[i] for step in together], alone, rtol=1e-5, atol=1e-6)
