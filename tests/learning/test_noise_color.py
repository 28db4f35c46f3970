"""The color of the actions' noise: for as long as it is set, in every rollout, of normal noise."""

from __future__ import annotations

import pytest
import torch
from tools import learner

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
    assert at_first(1.0, 1.0, 0.999) == 1.0


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
