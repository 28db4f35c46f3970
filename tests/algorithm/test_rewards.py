"""One reward far outside the others is named in the batch where it enters, and can be clipped."""

import numpy as np
import pytest
import torch
from value_tools import make_learner

from ppo.algorithm.health import reward_health
from ppo.algorithm.rewards import Rewards, center_and_spread, clip_outliers, find_outliers
from ppo.algorithm.snapshot import Snapshot

OUTLIER = -65_882.0
ENV, STEP, BATCH = 3, 17, 2
BASE = (
    "env.id=DoubleIntegrator-v0",
    "env.backend=sync",
    "env.calibration_steps=0",
    "ppo.num_steps=30",
)


class Injected:
    """Environments that give one absurd reward in one step of one environment."""

    def __init__(self, envs, at_call, component):
        self.envs, self.at_call, self.component, self.calls = envs, at_call, component, 0

    def __getattr__(self, name):
        return getattr(self.envs, name)

    def step(self, actions):
        step = self.envs.step(actions)
        if self.calls == self.at_call:
            rewards = step.rewards.clone()
            rewards[ENV, self.component] = OUTLIER
            step = step._replace(rewards=rewards)
        self.calls += 1
        return step


def records(treatment, inject=True, component=1, batches=6):
    learner = make_learner(*BASE, f"ppo.reward_outlier={treatment}")
    if inject:
        injected = Injected(learner.collector.envs, BATCH * 30 + STEP, component)
        learner.collector.envs = injected
        learner.collector.player.envs = injected
    return [learner.step() for _ in range(batches)]


@pytest.fixture(scope="module")
def runs():
    torch.set_num_threads(1)
    return {
        "clean": records("report", inject=False),
        "report": records("report"),
        "clip": records("clip"),
    }


@pytest.mark.parametrize("treatment", ["report", "clip"])
def test_the_event_names_environment_step_component_and_size(runs, treatment):
    events = [" ".join(record["events"]) for record in runs[treatment]]
    found = events[BATCH]
    assert f"environment {ENV}," in found and f"step {STEP} of the batch" in found
    assert "component control_effort" in found and "-65882" in found
    assert not any("reward outlier" in text for i, text in enumerate(events) if i != BATCH)


@pytest.mark.parametrize("treatment", ["report", "clip"])
def test_the_distance_is_in_the_record(runs, treatment):
    for batch, record in enumerate(runs[treatment]):
        assert (record["reward_outlier"] > 1000) == (batch == BATCH)


def test_a_reported_outlier_reaches_the_statistics(runs):
    assert runs["report"][BATCH]["return_std"] > 5 * runs["clean"][BATCH]["return_std"]


def test_with_clipping_the_run_goes_on_as_if_nothing_had_been(runs):
    for clipped, clean in zip(runs["clip"], runs["clean"], strict=True):
        assert clipped["return_std"] == pytest.approx(clean["return_std"], rel=0.1)
        assert clipped["normalized_value_loss"] < 2 * clean["normalized_value_loss"]
        assert clipped["grad_clip_factor"] < 2 * clean["grad_clip_factor"] + 1
        assert clipped["approx_kl"] < 0.05


def test_clipping_brings_an_outlier_to_the_farthest_other_reward():
    rewards = torch.randn(64, 8, 2, generator=torch.Generator().manual_seed(0))
    valid = torch.ones(64, 8, dtype=torch.bool)
    spoiled = rewards.clone()
    spoiled[5, 3, 1] = OUTLIER
    clipped = clip_outliers(spoiled, valid, center_and_spread(spoiled, valid))
    assert clipped[5, 3, 1] == torch.cat((rewards[:5, :, 1], rewards[6:, :, 1])).min()
    spoiled[5, 3, 1] = clipped[5, 3, 1]
    assert torch.equal(clipped, spoiled)


def test_clipping_leaves_rows_that_are_no_steps():
    rewards = 1000.0 + torch.randn(64, 8, 1, generator=torch.Generator().manual_seed(0))
    valid = torch.ones(64, 8, dtype=torch.bool)
    valid[9, 2], rewards[9, 2], rewards[5, 3] = False, 0.0, OUTLIER
    clipped = clip_outliers(rewards, valid, center_and_spread(rewards, valid))
    assert clipped[9, 2] == 0.0 and clipped[5, 3] == rewards[valid][rewards[valid] > 0].min()


def found_and_clipped(rewards):
    valid = torch.ones(rewards.shape[:2], dtype=torch.bool)
    center = center_and_spread(rewards, valid)
    return find_outliers(rewards, valid, center), clip_outliers(rewards, valid, center)


@pytest.mark.parametrize("power", [-30, 30])
def test_detection_sees_no_scale(power):
    rewards = torch.randn(64, 8, 1, generator=torch.Generator().manual_seed(0))
    rewards[5, 3] = 1e5
    found, clipped = found_and_clipped(rewards)
    assert found.sum() == 1
    found_scaled, clipped_scaled = found_and_clipped(rewards * 2.0**power)
    assert torch.equal(found, found_scaled)
    assert torch.equal(clipped * 2.0**power, clipped_scaled)


def test_rewards_that_are_mostly_equal_have_no_outliers():
    """A first success in a sparse task must not be taken for one."""
    rewards = torch.zeros(64, 8, 1)
    rewards[5, 3] = 1000.0
    found, clipped = found_and_clipped(rewards)
    assert not found.any() and torch.equal(clipped, rewards)


def test_rewards_are_divided_by_the_deviation_of_their_discounted_sums():
    """As VecNormalize does, by a loop: sums of past rewards, from batch to batch."""
    draw = torch.Generator().manual_seed(0)
    scale = Rewards(3, torch.tensor([0.9]), scales=True, clips=False)
    sums, seen = np.zeros(3), []
    for _ in range(3):
        rewards = torch.randn(20, 3, 2, generator=draw)
        ended, valid = (torch.rand(20, 3, generator=draw) < share for share in (0.2, 0.9))
        valid |= ended
        for t in range(20):
            sums = 0.9 * sums + rewards[t].sum(-1).double().numpy()
            seen += sums[valid[t].numpy()].tolist()
            sums[ended[t].numpy()] = 0.0
        found = scale.scaled(rewards, ended, valid)
        torch.testing.assert_close(found, rewards / np.std(seen), rtol=1e-4, atol=1e-6)


def test_a_reward_that_is_not_a_number_outlives_neither_its_batch_nor_a_rollback():
    """A simulator's; the batch itself is lost."""
    scale = Rewards(2, torch.tensor([0.9]), scales=True, clips=False)
    rewards = torch.randn(20, 2, 1, generator=torch.Generator().manual_seed(0))
    ended, valid = torch.zeros(20, 2, dtype=torch.bool), torch.ones(20, 2, dtype=torch.bool)
    scale.scaled(rewards, ended, valid)
    snapshot = Snapshot(scale)
    snapshot.take()
    kept = [scale.mean.clone(), scale.variance.clone(), scale.count.clone()]
    spoiled = rewards.clone()
    spoiled[7, 1] = torch.nan
    scale.scaled(spoiled, ended, valid)
    goes_on = scale.carried.clone()
    snapshot.roll_back()
    assert all(map(torch.equal, kept, [scale.mean, scale.variance, scale.count]))
    assert torch.equal(scale.carried, goes_on) and torch.isfinite(goes_on).all()
    assert torch.isfinite(scale.scaled(rewards, ended, valid)).all()


def test_rows_that_are_no_steps_hide_no_outlier_and_make_none():
    """Zeros between rewards near 1000 are far outside; as half of all rows they are the spread."""
    rewards = 1000.0 + torch.randn(64, 8, 1, generator=torch.Generator().manual_seed(0))
    rewards[5, 3] = 5000.0
    valid = torch.ones(128, 8, dtype=torch.bool)
    valid[1::2] = False
    among = torch.zeros(128, 8, 1)
    among[::2] = rewards
    center = center_and_spread(among, valid)
    torch.testing.assert_close(center, center_and_spread(rewards, valid[::2]))
    found = find_outliers(among, valid, center)
    assert found.nonzero().tolist() == [[10, 3, 0]]
    assert clip_outliers(among, valid, center)[valid].max() == rewards[rewards < 2000].max()
    figures = reward_health(among, valid, center)
    assert figures["reward_outlier"] == ((rewards - center[0]).abs() / center[1]).max()
    assert figures["reward_zero_share"] == 0
