"""A learning rate that follows a KL target comes to it from either side."""

from __future__ import annotations

import pytest
import torch

from ppo import Config
from ppo.algorithm.build import build_environments, build_learner

CPU = torch.device("cpu")
TARGET = 0.01


def learner_of(*overrides):
    config = Config.load(
        None,
        [
            "env.id=Pendulum-v1", "env.backend=torch", "env.num_envs=8", "ppo.num_steps=64",
            "ppo.num_minibatches=8", "ppo.num_epochs=4", "system.compile=never",
            "system.device=cpu", f"ppo.target_kl={TARGET}", *overrides,
        ],
    )  # fmt: skip
    learner = build_learner(config, build_environments(config, CPU), CPU)
    learner.start()
    return learner


def minibatches(learner):
    """Gradient steps of the learner's next batch, and its record."""
    steps = []
    learner.optimizer.step, whole = counted(learner.optimizer.step, steps), learner.optimizer.step
    record = learner.step()
    learner.optimizer.step = whole
    return len(steps), record


def counted(step, steps):
    def inner(grad, rate, go):
        if go:
            steps.append(1)
        return step(grad, rate, go)

    return inner


@pytest.mark.parametrize("start", [1e-5, 1e-2])
def test_the_rate_finds_the_target_from_either_side(start):
    learner = learner_of("ppo.learning_rate_schedule=kl", f"ppo.learning_rate={start}")
    found = [minibatches(learner) for _ in range(40)]
    assert all(count == 32 for count, _ in found)  # no batch is stopped
    kl = sum(record["approx_kl"] for _, record in found[-10:]) / 10
    assert TARGET / 3 < kl < 3 * TARGET


def test_with_another_schedule_the_target_stops_a_batch():
    learner = learner_of("ppo.learning_rate=0.01")
    assert min(minibatches(learner)[0] for _ in range(5)) < 32
