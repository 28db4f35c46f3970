"""What a record and episodes.csv say of episodes, on rows made by hand."""

from __future__ import annotations

import math

import pytest
import torch
from learner_tools import learner
from value_tools import ThreeScales, make_learner

from ppo.algorithm.record import EpisodeRows, fault_of, reduce_table
from ppo.algorithm.rollout.collect import Episodes
from ppo.algorithm.update import UpdateTable
from ppo.core.errors import UserError


def rows(terminated: list[int], truncated: list[int], success: list[float]) -> EpisodeRows:
    """An episode of each environment, three steps long, that pays its number."""
    run = learner(
        "CartPole-v1", env__num_envs=len(success), ppo__num_steps=3, ppo__num_minibatches=1
    )
    rollout, _ = run.collector(0)
    run.collector.envs.close()

    def last(values: list) -> torch.Tensor:
        column = torch.tensor(values)
        return torch.stack([torch.zeros_like(column), torch.zeros_like(column), column])

    ends = last(terminated).bool(), last(truncated).bool()
    rollout = rollout._replace(terminated=ends[0], truncated=ends[1], success=last(success))
    finished = ends[0] | ends[1]
    returns = last([float(n) for n in range(len(success))]).unsqueeze(-1)
    return EpisodeRows(rollout, Episodes(finished, returns, last([3.0] * len(success))))


def test_an_end_is_truncated_where_a_time_limit_alone_brought_it() -> None:
    found = rows([1, 0, 1, 0], [0, 1, 1, 0], [math.nan] * 4)
    told = found.csv_rows(7, ("reward",))
    assert [(row["env"], row["end"]) for row in told] == [
        (0, "terminated"), (1, "truncated"), (2, "terminated"),
    ]  # fmt: skip
    assert [row["return"] for row in told] == [0.0, 1.0, 2.0] == [row["reward"] for row in told]
    assert {row["length"] for row in told} == {3} and {row["batch"] for row in told} == {7}
    assert found.summary(None)["timeout_share"] == 1 / 3


def test_a_success_that_is_not_said_is_none_and_no_failure() -> None:
    found = rows([1, 1, 1, 1], [0] * 4, [1.0, math.nan, 0.0, 1.0])
    assert found.summary(None)["success_rate"] == 2 / 3
    assert math.isnan(rows([1], [0], [math.nan]).summary(None)["success_rate"])


def test_an_episode_is_at_the_limit_from_its_length_on() -> None:
    found = rows([1, 1], [0, 0], [math.nan] * 2)
    assert [found.summary(limit)["at_limit_share"] for limit in (2, 3, 4, None)] == [1, 1, 0, 0]


NAMES = ["running", "taken", "grad_norm", "approx_kl", "ratio_deviation", "policy_loss"]


def test_minibatches_that_are_skipped_or_stopped_are_in_no_mean() -> None:
    minibatches = torch.tensor([
        # running, taken, grad_norm, approx_kl, ratio_deviation, policy_loss
        [1.0, 1.0, 1.0, 0.01, 0.5, 2.0],
        [1.0, 0.0, 9.0, 0.03, 0.0, 100.0],  # skipped
        [1.0, 1.0, 3.0, 0.05, 0.0, 4.0],
        [0.0, 0.0, 9.0, 0.99, 0.0, 100.0],  # ended by its KL
        [0.0, 0.0, 9.0, 5.00, 0.0, 100.0],  # after the end
    ])  # fmt: skip
    found = reduce_table(UpdateTable(NAMES, minibatches, steps_per_epoch=2), max_grad_norm=2.0)
    assert found["policy_loss"] == 3.0 and found["grad_norm"] == 2.0
    assert found["grad_clip_factor"] == 1.0 and found["grad_clipped_fraction"] == 0.5
    assert (found["num_minibatches"], found["skipped_minibatches"]) == (3, 1)
    kl = found["approx_kl_first_epoch"], found["approx_kl_last_epoch"]
    assert kl == pytest.approx((0.02, 0.52)) and found["ratio_first"] == 0.5
    assert found["approx_kl"] == pytest.approx((0.01 + 0.05 + 0.99) / 3)  # what ended it, too


def test_a_batch_of_which_no_minibatch_ran_has_numbers_all_the_same() -> None:
    minibatches = torch.zeros(2, len(NAMES))
    minibatches[:, 3] = torch.tensor([0.5, 0.7])
    found = reduce_table(UpdateTable(NAMES, minibatches, steps_per_epoch=1), max_grad_norm=2.0)
    assert found["num_minibatches"] == 0 and found["approx_kl_last_epoch"] == pytest.approx(0.5)


@pytest.mark.parametrize(("skipped", "wrong"), [(0, False), (2, False), (3, True), (4, True)])
def test_an_update_is_unusable_where_more_than_half_of_it_was_skipped(skipped, wrong) -> None:
    values = {"finite": 1.0, "skipped_minibatches": skipped, "num_minibatches": 4.0}
    values |= {"return_min": -1.0, "return_max": 2.0}
    assert bool(fault_of(values)) == wrong
    assert fault_of({**values, "finite": 0.0}) == "a parameter is not finite"
    for number in ("inf", "nan"):
        found = fault_of({**values, "return_max": float(number)})
        assert ("too large for float32 (env.reward_scale)" in found) == wrong
    assert "returns" not in fault_of(values)


def test_groups_that_are_clipped_one_by_one_are_cut_by_their_own_norms() -> None:
    """Two of 0.42 each have 0.6 together, and neither is above 0.5."""
    names = [*NAMES, "largest_norm"]
    minibatches = torch.tensor([[1.0, 1.0, 0.6, 0.01, 0.0, 1.0, 0.42]] * 2)
    found = reduce_table(UpdateTable(names, minibatches, steps_per_epoch=2), max_grad_norm=0.5)
    assert found["grad_clipped_fraction"] == 0.0
    assert found["grad_norm"] == pytest.approx(0.6)
    assert found["grad_clip_factor"] == pytest.approx(0.84)


def test_episodes_of_two_rollouts_come_one_after_the_other() -> None:
    first, second = rows([1, 0], [0, 1], [1.0, math.nan]), rows([0, 1, 1], [1, 0, 0], [0.0] * 3)
    both = first.and_then(second)
    names = ("reward",)
    assert both.csv_rows(4, names) == first.csv_rows(4, names) + second.csv_rows(4, names)
    assert len(first) == 2 and len(both) == 5 and both.summary(None)["success_rate"] == 0.25


@pytest.mark.parametrize(
    ("name", "what"), [("return", "a column of episodes.csv"), ("success", "an auxiliary loss")]
)
def test_a_reward_component_may_not_take_the_name_of_something_else(name: str, what: str) -> None:
    class Paid(ThreeScales):
        component_names = (name, "plain", "small")

    with pytest.raises(UserError, match=f"the reward component '{name}' has the name of {what}"):
        make_learner("auxiliary.success_weight=0.1", env=Paid())
