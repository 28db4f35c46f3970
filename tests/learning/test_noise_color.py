"""The color of the actions' noise: for as long as it is set, in every rollout, of normal noise."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tools import learner

from ppo.config import PPOConfig
from ppo.noise_color import NoiseColor
from ppo.schedules import at_first

PINK = {"ppo__noise_color": 1.0, "ppo__num_steps": 64, "env__num_envs": 16}


def likeness(run):
    """Mean product of neighboring steps' noise in the next rollout: its correlation."""
    rollout, _ = run.collector(run.counters["batch"], 0, run.noise_color)
    distribution = run.objective.agent.distribution
    params, *_ = run.objective.agent.act(rollout.obs.flatten(0, 1))
    actions = rollout.actions.flatten(0, 1)
    noise = (actions - distribution.mode(params)) / distribution.log_std.exp()
    noise = noise.view_as(rollout.actions)
    return float((noise[1:] * noise[:-1]).mean())


@pytest.mark.parametrize(("color", "least", "most"), [(0.0, -0.1, 0.1), (1.0, 0.4, 0.8)])
@torch.no_grad()
def test_neighboring_steps_are_as_alike_as_the_color_says(color, least, most):
    run = learner("DoubleIntegrator-v0", **{**PINK, "ppo__noise_color": color})
    assert least < likeness(run) < most


@torch.no_grad()
def test_after_its_share_of_the_run_the_noise_is_white():
    more = {**PINK, "ppo__noise_color_share": 0.5, "train__total_timesteps": 4 * 64 * 16}
    run, alike = learner("DoubleIntegrator-v0", **more), []
    for batch in range(4):
        run.counters["batch"], run.counters["env_steps"] = batch, batch * 64 * 16
        alike.append(likeness(run) > 0.3)
    assert alike == [True, True, False, False]


def test_a_share_of_nothing_never_colors_and_one_of_all_always_does():
    assert at_first(1.0, 0.0, 0.0) == 0.0
    assert at_first(1.0, 1.0, 0.999) == at_first(1.0, 1.0, 1.0) == 1.0


def test_where_actions_are_discrete_the_run_says_that_it_has_no_effect():
    run = learner("CartPole-v1", ppo__noise_color=1.0)
    assert any("ppo.noise_color has no effect" in line for line in run.start())
    assert not any("noise_color" in line for line in learner("CartPole-v1").start())


def test_the_learner_s_own_step_explores_with_it():
    """The same run, but for the color, goes elsewhere."""
    runs = [learner("DoubleIntegrator-v0", **{**PINK, "ppo__noise_color": c}) for c in (0.0, 1.0)]
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
    config = PPOConfig(noise_color=1.5, noise_color_share=0.5, noise_color_when="survived")
    color = NoiseColor(config)
    assert color.at(0.0) == 0.0  # nothing is known
    survived = count = 0.0
    for number, (lasted, fell) in enumerate(rollouts):
        color.observe(*ended(lasted, fell, number))
        fade = 0.99 ** (lasted + fell)
        survived, count = survived * fade + lasted, count * fade + lasted + fell
        if abs(survived - count / 2) > 1e-9:
            assert color.at(0.0) == (1.5 if survived > count / 2 else 0.0)
        assert color.at(0.5) == 0.0


def test_an_episode_that_falls_at_its_limit_has_not_survived():
    color = NoiseColor(PPOConfig(noise_color=1.0, noise_color_when="survived"))
    color.observe(*ended(0, 3, 0))
    assert color.at(0.0) == 0.0


@pytest.mark.parametrize(("env", "color"), [("Pendulum-v1", 1.0), ("InvertedPendulum-v5", 0.0)])
def test_a_run_tells_which_color_it_had(env, color):
    """Pendulum ends at its limit alone; an untrained InvertedPendulum falls."""
    more = {"ppo__noise_color": 1.0, "ppo__noise_color_when": "survived", "ppo__num_steps": 256}
    run = learner(env, **more)
    assert [run.step()["noise_color"] for _ in range(3)] == [0.0, color, color]
