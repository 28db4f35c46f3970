"""What a row of a rollout can be: nothing is learned from a fault, nor summed across it."""

from __future__ import annotations

import hypothesis
import numpy as np
import pytest
import torch
from cut_env import FAULT, LENGTH
from env_tools import make
from hypothesis import given
from hypothesis import strategies as st
from learner_tools import learner

from ppo.algorithm.targets import make_batch
from ppo.functional.returns import generalized_advantages
from ppo.policies.demonstrate import record
from ppo.policies.play import play

STEPS = 60
WHOLE_RETURN = LENGTH * (LENGTH + 1) / 2


def advantages_of_steps(how: str, **more) -> tuple[torch.Tensor, torch.Tensor]:
    """Advantages and returns of the steps of a rollout, whose critic reads state and memory."""
    made = learner(
        "cut_env:Cut-v0", env__num_envs=1, env__on_error="restart", env__on_nonfinite="reset",
        env__kwargs__how=how, ppo__num_steps=STEPS, ppo__num_minibatches=1,
        env__normalize_observations="false", **more,
    )  # fmt: skip

    def values(obs, *states):
        remembered = sum(state.sum(-1, keepdim=True) for state in states)
        return 1000.0 * (obs[:, :1] > 0) + obs[:, :1] + remembered

    collector = made.collector
    collector._values, collector._finish = values, collector.finish
    rollout, _ = collector(0)
    made.collector.envs.close()
    batch = make_batch(rollout, made.prepare.settings)
    steps = rollout.valid.flatten()
    assert (batch.advantages[~steps] == 0).all()
    return batch.advantages[steps], batch.returns[steps]


@pytest.mark.parametrize("memory", ["none", "gru"])
@pytest.mark.parametrize("stack", [1, 2])
@pytest.mark.parametrize("how", ["raise", "nan"])
def test_a_cut_is_a_time_limit_with_the_same_last_value(how, stack, memory):
    more = {"env__frame_stack": stack, "network__memory": memory}
    limit, limit_returns = advantages_of_steps("limit", **more)
    found, found_returns = advantages_of_steps(how, **more)
    same = len(found) - LENGTH  # the last episode may reach beyond one rollout and not the other
    assert same > 3 * LENGTH
    torch.testing.assert_close(found[:same], limit[:same], rtol=1e-6, atol=1e-4)
    torch.testing.assert_close(found_returns[:same], limit_returns[:same], rtol=1e-6, atol=1e-4)


ROWS = {  # terminated, truncated, valid
    "step": (False, False, True), "end": (True, False, True), "limit": (False, True, True),
    "cut": (False, True, False), "dummy": (False, False, False),
}  # fmt: skip


@hypothesis.settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(sorted(ROWS)), min_size=1, max_size=14),
    st.integers(0, 10**6),
    st.sampled_from([0.0, 0.5, 1.0]),
    st.sampled_from([0.9, 1.0]),
)
def test_whatever_rows_follow_each_stretch_of_steps_stands_for_itself(kinds, seed, lam, gamma):
    """Its advantages are those of an episode of its own that a time limit or an end closes."""
    draw = torch.Generator().manual_seed(seed)
    rewards, values, next_values = torch.randn(
        3, len(kinds), 1, 1, generator=draw, dtype=torch.float64
    )
    columns = torch.tensor([ROWS[kind] for kind in kinds]).unsqueeze(1)
    terminated, truncated, valid = columns.unbind(-1)
    discount = torch.tensor([gamma], dtype=torch.float64)
    found = generalized_advantages(
        rewards, values, next_values, terminated, terminated | truncated, discount, lam, valid
    )
    expected, first = torch.zeros_like(found), 0
    for t, kind in enumerate([*kinds, "cut"]):
        over = t + (kind in ("end", "limit"))  # behind the last step of the stretch
        if kind != "step":
            rows = slice(first, over)
            if over > first:
                last = torch.zeros(over - first, 1, dtype=torch.bool)
                last[-1] = True
                expected[rows] = generalized_advantages(
                    rewards[rows], values[rows], next_values[rows], terminated[rows], last,
                    discount, lam,
                )  # fmt: skip
            first = t + 1
    torch.testing.assert_close(found, expected)


@pytest.mark.slow
def test_a_cut_is_a_time_limit_in_workers_too():
    limit, _ = advantages_of_steps("limit")
    found, _ = advantages_of_steps("raise", env__backend="async")
    same = len(found) - LENGTH
    assert torch.equal(found[:same], limit[:same])


def test_the_row_of_a_next_step_autoreset_changes_no_advantage():
    same_step, _ = advantages_of_steps("none", env__backend="vector", env__kwargs__same_step="true")
    next_step, _ = advantages_of_steps("none", env__backend="vector")
    same = len(next_step) - LENGTH
    assert torch.equal(next_step[:same], same_step[:same])


@pytest.mark.parametrize("how", ["raise", "nan"])
def test_no_sum_crosses_a_cut(how):
    settings = {"on_error": "restart", "on_nonfinite": "reset", "kwargs": {"how": how}}
    envs = make("cut_env:Cut-v0", "sync", 2, **settings)
    played = play(envs, lambda obs: torch.zeros(2, dtype=torch.int64), 12)
    assert envs.events, "there was a cut"
    assert set(played["returns"]) == {WHOLE_RETURN} and set(played["lengths"]) == {LENGTH}


@pytest.mark.parametrize("backend", ["sync", "vector"])
def test_demonstrations_hold_whole_episodes_only(backend):
    how = "raise" if backend == "sync" else "none"
    envs = make("cut_env:Cut-v0", backend, 2, on_error="restart", kwargs={"how": how})
    found = record(envs, lambda obs: torch.zeros(2, dtype=torch.int64), 12)
    ends = np.flatnonzero(found.steps.ends)
    assert len(ends) == 12 and ends[-1] == len(found.steps.ends) - 1
    assert set(np.diff(ends, prepend=-1)) == {LENGTH}
    assert found.steps.obs[:, 0].tolist() == list(range(LENGTH)) * 12


def test_nobody_knows_how_long_a_cut_episode_would_have_lasted():
    made = learner("cut_env:Cut-v0", env__on_error="restart", auxiliary__time_to_end_weight="0.1",
                   ppo__num_steps=STEPS)  # fmt: skip
    rollout, _ = made.collector(0)
    mask = made.objective.targets(rollout)["time_to_end_mask"].reshape(STEPS, -1)
    cut = rollout.cut.nonzero().tolist()
    assert cut
    for step, env in cut:
        assert not mask[max(0, step - FAULT + 1) : step + 1, env].any()
    assert mask.any()


EPISODES = 7  # in a rollout


def of_autoreset(same_step: bool):
    """A learner on whole episodes, in as many rows as they take with either autoreset."""
    steps = EPISODES * (LENGTH if same_step else LENGTH + 1)
    return learner(
        "cut_env:Cut-v0", env__num_envs=2, env__backend="vector", ppo__num_steps=steps,
        env__kwargs__same_step=str(same_step).lower(), env__calibration_steps=steps,
        ppo__num_minibatches=1, ppo__num_epochs=1, ppo__reward_scaling="return_std",
    )  # fmt: skip


def assert_close_states(got: torch.nn.Module, want: torch.nn.Module, *names: str) -> None:
    for name in names:
        torch.testing.assert_close(getattr(got, name), getattr(want, name))


def test_the_row_of_a_next_step_autoreset_enters_no_figure():
    want, got = of_autoreset(True), of_autoreset(False)
    calibrated = (made.objective.agent.normalizer for made in (got, want))
    assert_close_states(*calibrated, "count", "exact_mean", "exact_variance")
    whole, found = want.step(), got.step()
    learned = [made.objective.agent.normalizer for made in (got, want)]
    assert_close_states(*learned, "count", "exact_mean", "exact_variance")
    assert learned[0].count.item() == 2 * (2 * EPISODES * LENGTH), "calibrated, and learned once"
    assert_close_states(got.reward_scale, want.reward_scale, "count", "mean", "variance")
    assert found["env_steps"] == whole["env_steps"] == 2 * EPISODES * LENGTH
    assert found["reward_zero_share"] == whole["reward_zero_share"] == 0
    for name in ("reward_outlier", "episodes", "mean_episode_return", "return_std"):
        assert found[name] == pytest.approx(whole[name], rel=1e-6), name


def test_a_step_that_a_fault_cut_was_taken():
    made = learner("cut_env:Cut-v0", env__kwargs__how="nan", env__on_nonfinite="reset")
    assert made.step()["env_steps"] == 4 * 16
