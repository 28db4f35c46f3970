"""The critic reaches values that are known exactly, whatever the scale of rewards."""

import pytest
import torch
from probes import GAMMA, PROBES
from value_tools import make_learner

SETTINGS = (
    "env.num_envs=64",
    "env.calibration_steps=4",
    "ppo.num_steps=4",
    "ppo.num_epochs=12",
    "ppo.num_minibatches=1",
    "ppo.learning_rate=1e-2",
    f"ppo.gamma={GAMMA}",
    "ppo.learning_rate_schedule=linear",
)
BATCHES = 15


def error_after_training(probe, scale, batches=BATCHES):
    """Largest distance of a value from the true one, in units of the scale."""
    env = probe()
    steps = batches * 64 * 4
    learner = make_learner(
        *SETTINGS, f"env.reward_scale={scale!r}", f"train.total_timesteps={steps}", env=env
    )
    for _ in range(batches):
        learner.step()
    obs, truth = env.states()
    agent, frame = learner.objective.agent, learner.objective.value_scale
    with torch.no_grad():
        values = frame.from_norm(agent.values_norm(obs))[:, 0]
    return float((values / scale - truth).abs().max())


@pytest.mark.parametrize("probe", PROBES)
def test_values_are_within_one_percent(probe):
    assert error_after_training(probe, 1.0) < 0.01


@pytest.mark.slow
@pytest.mark.parametrize("scale", [1e4, 1e-4])
@pytest.mark.parametrize("probe", PROBES)
def test_values_are_within_one_percent_at_other_scales(probe, scale):
    assert error_after_training(probe, scale) < 0.01
