"""The task keeps what docs/double_integrator.md says of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from env_tools import make

from ppo.envs.native.double_integrator import (
    DoubleIntegrator,
    final_error,
    optimal_control,
    optimal_plan,
)
from ppo.envs.tasks.double_integrator import MAX_POSITION, DoubleIntegratorEnv
from ppo.envs.torch_env import Carry, start

ROOT = Path(__file__).parents[2]


def returns_of(policy, num_envs: int = 2000):
    """Return [N], success [N] and final error [N] of one episode in each environment."""
    envs = make("DoubleIntegrator-v0", "torch", num_envs)
    obs = envs.reset()
    total = torch.zeros(num_envs)
    for number in range(15):
        step = envs.step(policy(obs, number))
        total += step.rewards.sum(1)
        obs = step.obs
    assert step.terminated.all()
    error = torch.hypot(step.final_obs[:, 2], step.final_obs[:, 3])
    return total, step.success, error


def test_optimal_control_reaches_the_target():
    total, success, error = returns_of(lambda obs, _: optimal_control(obs))
    assert success.mean() == 1.0
    assert 1900 < total.mean() < 2100
    assert error.mean() < 0.006


def test_the_plan_made_at_the_start_loses_what_averaging_costs():
    envs = make("DoubleIntegrator-v0", "torch", 2000)
    plan = optimal_plan(envs.reset(), 15)
    _, success, error = returns_of(lambda _, number: plan[:, number : number + 1])
    assert success.mean() == 1.0
    assert 0.015 < error.mean() < 0.035


def test_an_untrained_policy_has_a_clearly_negative_return():
    generator = torch.Generator().manual_seed(0)
    total, success, _ = returns_of(lambda obs, _: 8 * torch.randn(len(obs), 1, generator=generator))
    assert -1000 < total.mean() < -600
    assert success.mean() < 0.01


def test_reaching_the_target_is_worth_more_than_1500():
    total, success, _ = returns_of(
        lambda obs, number: optimal_control(obs) + 0.5 * (-1) ** number, num_envs=500
    )
    assert success.mean() > 0.9
    assert total.mean() > 1500


def test_optimal_control_is_the_same_in_numpy():
    obs = make("DoubleIntegrator-v0", "torch", 50).reset()
    np.testing.assert_allclose(optimal_control(obs.numpy()), optimal_control(obs), rtol=1e-5)


def test_trajectories_are_differentiable():
    """The gradient of the final state by the controls equals its closed form."""
    env = DoubleIntegrator()
    ids = torch.arange(3)
    state = start(env, ids, ids, 0).state
    controls = torch.zeros(15, 3, 1, requires_grad=True)
    for control in controls:
        state = env.dynamics(state, control)
    (slope,) = torch.autograd.grad(state[:, 0].sum(), controls)
    steps_after = torch.arange(14, -1, -1)
    expected = 0.33**2 * (steps_after + 0.5)
    torch.testing.assert_close(slope[:, 0, 0], expected)


def test_bounds_hold_under_full_control():
    env = DoubleIntegrator()
    carry = Carry(torch.zeros(1, 5), torch.zeros(1), torch.zeros(1))
    state = carry.state
    for _ in range(15):
        state = env.dynamics(state, torch.full((1, 1), 100.0))
    assert state[0, :2].tolist() == [10.0, 5.0]


def test_components_are_named_and_the_terminal_ones_come_at_the_end():
    envs = make("DoubleIntegrator-v0", "torch", 5)
    obs = envs.reset()
    assert envs.component_names == (
        "progress", "control_effort", "terminal_precision", "success_bonus",
    )  # fmt: skip
    distance = final_error(envs.carry.state)
    total = torch.zeros(5, 4)
    for number in range(15):
        step = envs.step(optimal_control(obs))
        obs, total = step.obs, total + step.rewards
        if number < 14:
            assert (step.rewards[:, 2:] == 0).all() and step.success.isnan().all()
    error = torch.hypot(step.final_obs[:, 2], step.final_obs[:, 3])
    torch.testing.assert_close(total[:, 0], 100 * (distance - error), rtol=1e-4, atol=1e-2)
    assert (step.success == 1).all() and (step.rewards[:, 3] == 500).all()


@pytest.mark.slow
def test_the_figures_in_the_docs_are_those_of_the_command_beside_them():
    text = (ROOT / "docs/double_integrator.md").read_text()
    command = text.split("<!-- command: measure -->")[1].split("```")[1].split("\n")[1].split()
    said = text.split("<!-- output: measure -->")[1].split("```")[1]
    done = subprocess.run(
        [sys.executable, *command[1:]], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout.strip() == said.strip()


def test_the_picture_shows_position_target_and_velocity():
    env = DoubleIntegratorEnv(render_mode="rgb_array")
    env.state = np.array([0.0, -2.0, 3.0, 0.0, 9.0], np.float32)
    frame = env.render()
    shown = [np.flatnonzero((frame == color).all(-1).any(0)) for color in
             [(50, 90, 200), (60, 170, 90), (200, 60, 50)]]  # fmt: skip
    goal = int((3.0 / MAX_POSITION + 1) * 199.5)
    ends = [(columns[0], columns[-1], len(columns)) for columns in shown]
    assert ends == [(191, 207, 17), (goal - 2, goal + 2, 5), (175, 199, 25)]
    assert DoubleIntegratorEnv().render() is None
