"""A discount that follows the length of episodes: an oracle's, within its bounds, and in force."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from value_tools import ThreeScales, make_learner

from ppo.algorithm import discount
from ppo.algorithm.discount import Discount
from ppo.algorithm.rollout.collect import Episodes
from ppo.config import PPOConfig
from ppo.core.errors import UserError

FOLLOWS = "ppo.gamma_schedule=critic"


def schedule(**more):
    return PPOConfig(gamma_schedule="critic", **more)


def rollout_of(lengths, steps=64, envs=4):
    """Episodes [T, N] of which just these end, anywhere; what has not ended is no matter."""
    finished = torch.zeros(steps * envs, dtype=torch.bool)
    so_far = torch.randint(1, 10_000, (steps * envs,))
    where = torch.randperm(steps * envs)[: len(lengths)]
    finished[where], so_far[where] = True, torch.tensor(lengths, dtype=so_far.dtype)
    shape = (steps, envs)
    return Episodes(finished.view(shape), torch.zeros(*shape, 1), so_far.view(shape))


def mean_length(remembered, lengths):
    """Every episode weighs 0.99 for each that ended in a later batch or with it."""
    remembered[:] = [(weight * 0.99 ** len(lengths), length) for weight, length in remembered]
    remembered += [(1.0, length) for length in lengths]
    if not remembered:
        return 0.0
    return sum(w * length for w, length in remembered) / sum(w for w, _ in remembered)


ANY = st.tuples(st.lists(st.integers(1, 5000), max_size=30), st.floats(-2, 1) | st.none())


@settings(max_examples=50, deadline=None)
@given(
    st.lists(ANY, min_size=1, max_size=40),
    st.floats(0.5, 0.99),
    st.sampled_from([("white", 0.0), ("pink", 1.0), ("contest", 0.0), ("contest", 0.5)]),
)
def test_it_is_an_oracle_s(batches, least, noise):
    kind, share = noise
    config = schedule(gamma=least, max_gamma=0.9995, noise=kind)
    discount = Discount(config, ("reward",))
    shortest, horizon = 1 / (1 - least), 1 / (1 - least)
    remembered: list[tuple[float, float]] = []
    for lengths, explained in batches:
        discount.observe(rollout_of(lengths), share)
        longest = min(mean_length(remembered, lengths), 2000.0)
        horizon = max(shortest, min(horizon, longest))
        assert discount.gamma.item() == pytest.approx(1 - 1 / horizon, abs=1e-6)
        assert discount.total.item() == discount.gamma.item()
        discount.follow(explained)
        if noise == ("contest", 0.5):
            horizon *= 1.25
        else:
            horizon *= 1.05 if explained is not None and explained > 0.9 else 1 / 1.05


def test_a_contest_allows_a_longer_horizon():
    def last(noise: str, share: float, contest: float) -> float:
        config = schedule(noise=noise, max_gamma=0.995, max_gamma_contest=contest)
        discount = Discount(config, ("reward",))
        for _ in range(80):
            discount.observe(rollout_of([5000] * 5), share)
            discount.follow(0.95)
        before = discount.gamma.item()
        discount.observe(rollout_of([5000] * 5), 0.0)  # it is over
        assert discount.gamma.item() == pytest.approx(min(before, 0.995), abs=1e-6)
        return before

    assert last("contest", 0.5, 0.999) == pytest.approx(0.999, abs=1e-6)
    for other in (("contest", 0.0, 0.999), ("pink", 1.0, 0.999), ("contest", 0.5, 0.9)):
        assert last(*other) == pytest.approx(0.995, abs=1e-6)


def test_a_run_gives_its_discount_the_noise_that_it_has():
    learner = make_learner(FOLLOWS, "ppo.noise=contest", "ppo.max_gamma=0.995", env=ThreeScales())
    given = []
    observe = learner.discount.observe
    learner.discount.observe = lambda episodes, share: given.append(share) or observe(episodes)
    learner.step()
    learner.noise_color.contest[0] = 1.0  # it goes on
    learner.step()
    assert given == [0.0, 0.5]


def test_named_components_keep_their_own():
    config = schedule(component_gammas={"plain": 0.5}, max_gamma=0.9975)
    discount = Discount(config, ("large", "plain", "small"))
    for _ in range(50):
        discount.observe(rollout_of([1000] * 5))
        discount.follow(0.95)
    torch.testing.assert_close(discount.gamma, torch.tensor([0.9975, 0.5, 0.9975]))


def test_a_constant_one_stays_to_the_bit():
    discount = Discount(PPOConfig(gamma=0.97), ("reward",))
    discount.observe(rollout_of([1000] * 5))
    assert torch.equal(discount.gamma, torch.tensor([0.97]))


@pytest.mark.parametrize("compile_it", ["never", pytest.param("always", marks=pytest.mark.slow)])
def test_targets_and_scaled_rewards_use_it(compile_it):
    """A horizon that has become 6."""
    chosen = ("ppo.gamma=0.17", "ppo.reward_scaling=return_std", f"system.compile={compile_it}")
    learner = make_learner(*chosen, FOLLOWS, env=ThreeScales())
    records = []
    for _ in range(3):
        learner.discount.horizon.fill_(6.0)
        records.append(learner.step())
    assert [record["gamma"] for record in records] == pytest.approx([1 - 1 / 6] * 3)
    fixed = make_learner(*chosen, f"ppo.gamma={records[0]['gamma']!r}", env=ThreeScales())
    for record in records:
        want = fixed.step()
        for name in ("return_mean", "return_std", "explained_variance"):
            assert record[name] == pytest.approx(want[name], rel=1e-4), name


def test_before_an_episode_has_ended_it_is_the_least():
    """Episodes of 12 steps, batches of 6."""
    learner = make_learner(FOLLOWS, "ppo.num_steps=6", "ppo.gamma=0.5", env=ThreeScales())
    gammas = []
    for _ in range(3):
        learner.discount.horizon.fill_(50.0)
        gammas.append(learner.step()["gamma"])
    assert gammas == pytest.approx([0.5, 1 - 1 / 12, 1 - 1 / 12])


def test_a_largest_discount_below_the_least_is_refused():
    with pytest.raises(UserError, match="max_gamma 0.9 is below ppo.gamma 0.99"):
        make_learner(FOLLOWS, "ppo.max_gamma=0.9")


@pytest.mark.parametrize("enough", [-100.0, 0.999])
def test_the_horizon_follows_the_critic(enough, monkeypatch):
    """Episodes of 12 steps let it go from 2 to 12; a critic that is never good enough does not."""
    chosen = ("ppo.gamma_schedule=critic", "ppo.gamma=0.5", "ppo.component_gammas={small: 0.25}")
    monkeypatch.setattr(discount, "ENOUGH", enough)
    learner = make_learner(*chosen, env=ThreeScales())
    horizons = [1 / (1 - learner.step()["gamma"]) for _ in range(6)]
    expected = [2 * 1.05**n for n in range(6)] if enough < 0 else [2.0] * 6
    assert horizons == pytest.approx(expected, rel=1e-4)
    assert learner.discount.gamma[2] == 0.25


def test_it_goes_with_the_checkpoint():
    chosen = ("ppo.gamma_schedule=critic", "ppo.gamma=0.5", "ppo.num_steps=6")
    learner, other = (make_learner(*chosen, env=ThreeScales()) for _ in range(2))
    for _ in range(3):
        learner.step()
        learner.discount.follow(0.99)
    other.load_state_dict(learner.state_dict())
    for name, value in learner.discount.state_dict().items():
        assert torch.equal(other.discount.state_dict()[name], value)
    assert other.discount.seen.tolist()[1] > 0


def test_a_resumed_run_takes_the_discount_of_its_configuration():
    learner, other = make_learner("ppo.gamma=0.5"), make_learner("ppo.gamma=0.75")
    learner.step()
    state = learner.state_dict()
    other.load_state_dict(state)
    assert other.step()["gamma"] == 0.75


def test_a_checkpoint_from_before_there_was_a_schedule_is_loaded():
    learner, other = make_learner(), make_learner("ppo.gamma_schedule=critic", "ppo.gamma=0.5")
    learner.step()
    old = {k: v for k, v in learner.state_dict().items() if not k.startswith("discount.")}
    other.load_state_dict(old)
    assert other.step()["gamma"] == 0.5
