"""A discount that follows the length of episodes: an oracle's, within its bounds, and in force."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from value_tools import ThreeScales, make_learner

from ppo.collect import Episodes
from ppo.config import PPOConfig
from ppo.discount import Discount
from ppo.errors import UserError

FOLLOWS = "ppo.gamma_schedule=episode_length"


def schedule(**more):
    return PPOConfig(gamma_schedule="episode_length", **more)


def rollout_of(lengths, steps=64, envs=4):
    """Episodes [T, N] of which just these end, anywhere; what has not ended is no matter."""
    finished = torch.zeros(steps * envs, dtype=torch.bool)
    so_far = torch.randint(1, 10_000, (steps * envs,))
    where = torch.randperm(steps * envs)[: len(lengths)]
    finished[where], so_far[where] = True, torch.tensor(lengths, dtype=so_far.dtype)
    shape = (steps, envs)
    return Episodes(finished.view(shape), torch.zeros(*shape, 1), so_far.view(shape))


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.lists(st.integers(1, 5000), max_size=30), min_size=1, max_size=6),
    st.floats(0.01, 10.0),
    st.floats(0.5, 0.99),
)
def test_it_is_an_oracle_s(batches, share, least):
    """The oracle weighs every episode by 0.99 for each that ended in a later batch or with it."""
    config = schedule(gamma=least, episode_horizon=share, max_gamma=0.9995)
    discount = Discount(config, ("reward",))
    remembered: list[tuple[float, float]] = []
    for lengths in batches:
        discount.observe(rollout_of(lengths))
        remembered = [(weight * 0.99 ** len(lengths), length) for weight, length in remembered]
        remembered += [(1.0, length) for length in lengths]
        expected = least
        if remembered:
            mean = sum(w * length for w, length in remembered) / sum(w for w, _ in remembered)
            expected = min(max(1 - 1 / max(share * mean, 1.0), least), 0.9995)
        assert discount.gamma.item() == pytest.approx(expected, abs=1e-6)
        assert discount.total.item() == discount.gamma.item()


def test_named_components_keep_their_own():
    config = schedule(component_gammas={"plain": 0.5})
    discount = Discount(config, ("large", "plain", "small"))
    discount.observe(rollout_of([1000] * 5))
    torch.testing.assert_close(discount.gamma, torch.tensor([0.9975, 0.5, 0.9975]))


def test_a_constant_one_stays_to_the_bit():
    discount = Discount(PPOConfig(gamma=0.97), ("reward",))
    discount.observe(rollout_of([1000] * 5))
    assert torch.equal(discount.gamma, torch.tensor([0.97]))


@pytest.mark.parametrize("compile_it", ["never", "always"])
def test_targets_and_scaled_rewards_use_it(compile_it):
    """Episodes of 12 steps: the horizon of 1.2 that the first batch has becomes 6."""
    chosen = ("ppo.gamma=0.17", "ppo.episode_horizon=0.5", "ppo.reward_scaling=return_std",
              f"system.compile={compile_it}")  # fmt: skip
    learner = make_learner(*chosen, FOLLOWS, env=ThreeScales())
    records = [learner.step() for _ in range(3)]
    assert [record["gamma"] for record in records] == pytest.approx([1 - 1 / 6] * 3)
    fixed = make_learner(*chosen, f"ppo.gamma={records[0]['gamma']!r}", env=ThreeScales())
    for record in records:
        want = fixed.step()
        for name in ("return_mean", "return_std", "explained_variance"):
            assert record[name] == pytest.approx(want[name], rel=1e-4), name


def test_before_an_episode_has_ended_it_is_the_least():
    learner = make_learner(FOLLOWS, "ppo.num_steps=6", "ppo.gamma=0.5", env=ThreeScales())
    assert [round(learner.step()["gamma"], 4) for _ in range(3)] == [0.5, 0.7917, 0.7917]


def test_a_largest_discount_below_the_least_is_refused():
    with pytest.raises(UserError, match="max_gamma 0.9 is below ppo.gamma 0.99"):
        make_learner(FOLLOWS, "ppo.max_gamma=0.9")


def test_it_goes_with_the_checkpoint():
    chosen = (FOLLOWS, "ppo.gamma=0.5", "ppo.num_steps=6")
    learner, other = (make_learner(*chosen, env=ThreeScales()) for _ in range(2))
    for _ in range(3):
        learner.step()
    other.load_state_dict(learner.state_dict())
    for name, value in learner.discount.state_dict().items():
        assert torch.equal(other.discount.state_dict()[name], value)
    assert other.discount.seen.tolist()[1] > 0
