"""A sudden change of the reward scale in mid-run: how long the critic needs to follow."""

import pytest
from value_tools import make_learner

BEFORE = 15  # batches before the jump
BASE = ("env.id=Pendulum-v1", "env.backend=torch", "env.num_envs=16", "ppo.num_steps=128")
BASE += ("ppo.num_minibatches=8", "ppo.num_epochs=5", "ppo.gamma=0.9")


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize(("factor", "within"), [(1000.0, 10), (0.01, 10), (0.001, 12)])
def test_the_critic_is_back_within_a_dozen_batches_of_a_jump(seed, factor, within):
    learner = make_learner(*BASE, f"system.seed={seed}", small=False)
    before = [learner.step() for _ in range(BEFORE)]
    assert before[-1]["explained_variance"] > 0.5
    learner.collector.reward_factor = factor
    after = [learner.step() for _ in range(within + 1)]
    explained = [record["explained_variance"] for record in after]
    assert explained[0] < 0.2, "the jump was not felt"
    assert explained[-1] > 0.5, explained
    largest = max(record["approx_kl"] for record in before)
    assert max(record["approx_kl"] for record in after) < max(0.02, 2 * largest)
    assert all(record["skipped_minibatches"] == 0 for record in after)
