"""The color of the actions' noise: for as long as it is set, in every rollout, of normal noise."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from learner_tools import learner

from ppo.algorithm.rollout.exploration import GOING_ON, NoiseColor, colored_count
from ppo.config import PPOConfig

LONG = {"ppo__num_steps": 64, "env__num_envs": 16}


def likeness(run):
    """Of each environment in the next rollout, the correlation of neighboring steps' noise."""
    rollout, _ = run.collector(run.counters["batch"], 0, run.colored_share)
    distribution = run.objective.agent.distribution
    params, *_ = run.objective.agent.act(rollout.obs.flatten(0, 1))
    actions = rollout.actions.flatten(0, 1)
    noise = (actions - distribution.mode(params)) / distribution.log_std.exp()
    noise = noise.view_as(rollout.actions)
    return (noise[1:] * noise[:-1]).mean((0, 2))


@pytest.mark.parametrize(("noise", "least", "most"), [("white", -0.1, 0.1), ("pink", 0.4, 0.8)])
@torch.no_grad()
def test_neighboring_steps_are_as_alike_as_the_color_says(noise, least, most):
    alike = likeness(learner("DoubleIntegrator-v0", **LONG, ppo__noise=noise))
    assert least < float(alike.mean()) < most
    assert noise == "white" or min(float(part.mean()) for part in alike.split(4)) > 0.2


@torch.no_grad()
def test_a_share_of_the_environments_has_the_color_and_the_others_noise_is_untouched():
    mixed, white = (
        learner("DoubleIntegrator-v0", **LONG, ppo__noise=noise) for noise in ("contest", "white")
    )
    mixed.noise_color.contest[0] = GOING_ON
    first, second = mixed.collector.noise(7, share=0.5), white.collector.noise(7)
    assert torch.equal(first[:, 8:], second[:, 8:])
    assert not (first[:, :8] == second[:, :8]).all(0).any()
    alike = likeness(mixed)
    assert float(alike[:8].mean()) > 0.3 > float(alike[8:].mean())


@pytest.mark.parametrize(
    ("env", "more"), [("CartPole-v1", {}), ("DoubleIntegrator-v0", {"ppo__num_steps": 1})]
)
def test_where_noise_can_have_no_color_the_run_says_so(env, more):
    for noise in ("pink", "contest"):
        run = learner(env, ppo__noise=noise, **more)
        assert any(f"ppo.noise: {noise} has no effect" in line for line in run.start())
        assert run.step()["colored_share"] == 0.0
    assert not any("noise" in line for line in learner(env, **more).start())


def test_the_learner_s_own_step_explores_with_it():
    """The same run, but for the color, goes elsewhere."""
    runs = [learner("DoubleIntegrator-v0", **LONG, ppo__noise=word) for word in ("white", "pink")]
    found = []
    for run in runs:
        run.step()
        found.append(run.optimizer.flat.theta.clone())
    assert not torch.equal(*found)


def ended(lasted, fell, seed, steps=16, envs=8):
    """A rollout [T, N] in which these many episodes reached their limit or fell, anywhere."""
    finished, terminated = (torch.zeros(steps * envs, dtype=torch.bool) for _ in range(2))
    where = torch.randperm(steps * envs, generator=torch.Generator().manual_seed(seed))
    finished[where[: lasted + fell]] = terminated[where[:fell]] = True
    return finished.view(steps, envs), terminated.view(steps, envs)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=20))
def test_it_waits_until_most_of_the_last_episodes_survive(rollouts):
    color = NoiseColor(PPOConfig(noise="contest"), 16)
    assert color.share() == 0.0  # nothing is known
    survived = count = 0.0
    for number, (lasted, fell) in enumerate(rollouts):
        color.observe(*ended(lasted, fell, number), torch.zeros(16, 8, 1), 0.0)
        fade = 0.99 ** (lasted + fell)
        survived, count = survived * fade + lasted, count * fade + lasted + fell
        if abs(survived - count / 2) < 1e-9:
            return
        assert color.share() == (0.5 if survived > count / 2 else 0.0)
        if survived > count / 2:
            return  # the contest goes on from here, whoever falls


def test_an_episode_that_falls_at_its_limit_has_not_survived():
    color = NoiseColor(PPOConfig(noise="contest"), 16)
    color.observe(*ended(0, 3, 0), torch.zeros(16, 8, 1), 0.0)
    assert color.share() == 0.0


@pytest.mark.parametrize(("env", "share"), [("Pendulum-v1", 0.5), ("InvertedPendulum-v5", 0.0)])
def test_a_record_holds_the_share_whose_noise_was_pink(env, share):
    """Pendulum ends at its limit alone; an untrained InvertedPendulum falls."""
    run = learner(env, ppo__noise="contest", ppo__num_steps=256, train__total_timesteps=100_000)
    assert [run.step()["colored_share"] for _ in range(3)] == [0.0, share, share]


def contest():
    """A contest that has begun."""
    color = NoiseColor(PPOConfig(noise="contest"), 16)
    color.contest[0] = GOING_ON
    return color


def played(color, of_white, of_colored, envs=16, progress=0.0):
    """A rollout [2, N] in whose last step every episode ends, with these returns by kind."""
    returns = torch.zeros(2, envs, 1)
    first = colored_count(color.share(), envs)
    returns[1, :first], returns[1, first:] = of_colored, of_white
    finished = torch.zeros(2, envs, dtype=torch.bool)
    finished[1] = True
    color.observe(finished, torch.zeros_like(finished), returns, progress)
    return color.share()


def test_environments_go_over_to_the_noise_that_reaches_higher():
    color = contest()
    shares = [color.share(), *(played(color, 1.0, 2.0) for _ in range(5))]
    assert shares == [0.5, 0.625, 0.75, 0.875, 0.875, 0.875]
    shares = [played(color, 3.0, 0.0) for _ in range(40)]
    lost = shares.index(0.125)
    assert shares[:lost] == sorted(shares[:lost], reverse=True) and shares[lost + 1] == 0.125
    assert shares[-1] == 0.0  # it has lost too often, for good
    assert played(color, 0.0, 9.0) == 0.0


def test_of_equal_means_the_wider_reaches_higher():
    color, draw = contest(), torch.Generator().manual_seed(0)
    for _ in range(20):
        first = colored_count(color.share(), 16)
        spread = torch.randn(first, 1, generator=draw)
        share = played(color, 5.0, 5.0 + spread)
    assert share == 0.875


def test_defeats_with_a_victory_between_them_do_not_end_it():
    color = contest()
    for _ in range(6):
        for _ in range(9):
            played(color, 2.0, 1.0, envs=64)
        color.returns.zero_()  # so that one rollout decides the next
        assert played(color, 1.0, 2.0, envs=64) > 0.125
        color.returns.zero_()
    assert color.contest[2] == 0


def test_a_contest_waits_for_survivors_and_not_for_ever():
    early, late = (NoiseColor(PPOConfig(noise="contest"), 16) for _ in range(2))
    assert early.share() == 0.0
    assert played(early, 1.0, 1.0) == 0.5
    assert played(late, 1.0, 1.0, progress=0.1) == 0.0
    assert played(late, 1.0, 1.0, progress=0.2) == 0.0
    assert played(late, 1.0, 1.0) == 0.0


@given(st.integers(-30, 30), st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_a_contest_does_not_see_the_size_of_returns(power, seed):
    plain, scaled = contest(), contest()
    draw = torch.Generator().manual_seed(seed)
    for _ in range(12):
        white, tinted = torch.randn(2, generator=draw).tolist()
        share = played(plain, white, tinted)
        assert played(scaled, white * 2.0**power, tinted * 2.0**power) == share


@pytest.mark.parametrize(("envs", "counts"), [(2, (1, 1, 1)), (4, (1, 2, 3)), (8, (1, 4, 7))])
def test_either_kind_has_an_environment_while_they_compete(envs, counts):
    assert tuple(colored_count(share, envs) for share in (0.125, 0.5, 0.875)) == counts
    assert colored_count(0.0, envs) == 0 and colored_count(1.0, envs) == envs


def test_a_single_environment_holds_no_contest():
    color = NoiseColor(PPOConfig(noise="contest"), 1)
    color.contest[0] = GOING_ON
    assert color.share() == 0.0 and "a contest several environments" in color.notes[0]
    assert NoiseColor(PPOConfig(noise="pink"), 1).share() == 1.0
