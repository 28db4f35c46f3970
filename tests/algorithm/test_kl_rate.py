"""A learning rate that follows a KL target comes to it from either side."""

from __future__ import annotations

import pytest
import torch

from ppo import Config
from ppo.algorithm.build import build_environments, build_learner
from ppo.algorithm.schedules import KLRate

CPU = torch.device("cpu")
TARGET = 0.01
SCHEDULE = ["ppo.learning_rate_schedule=kl", f"ppo.target_kl={TARGET}"]


def learner_of(*overrides):
    config = Config.load(
        None,
        [
            "env.id=Pendulum-v1", "env.backend=torch", "env.num_envs=8", "ppo.num_steps=32",
            "ppo.num_minibatches=4", "ppo.num_epochs=4", "system.compile=never",
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
    found = [minibatches(learner) for _ in range(24)]
    assert all(count == 16 for count, _ in found)  # no batch is stopped
    kl = sum(record["approx_kl"] for _, record in found[-8:]) / 8
    assert TARGET / 3 < kl < 3 * TARGET


def followed(*kls, rate=1e-3, schedule="kl"):
    """The learning rate after batches of these divergences."""
    ppo = {"learning_rate": rate, "learning_rate_schedule": schedule, "target_kl": TARGET}
    follows = KLRate(Config.load(None, [f"ppo.{key}={value}" for key, value in ppo.items()]).ppo)
    for kl in kls:
        follows.follow(kl, rate)
    return rate * follows.factor.item()


def test_the_rate_moves_by_half_where_the_divergence_is_twice_off():
    for kl, factor in ((2.01, 1 / 1.5), (1.99, 1.0), (0.51, 1.0), (0.49, 1.5)):
        assert followed(kl * TARGET) == pytest.approx(factor * 1e-3)
    assert followed(0.0, 0.0) == pytest.approx(1.5**2 * 1e-3)
    assert followed(None) == followed(9.0, schedule="constant") == 1e-3
    for kl, bound in ((9.0, 1e-5), (0.0, 1e-2)):
        assert followed(*[kl] * 20) == pytest.approx(bound)


def test_the_bounds_are_those_of_the_rate_that_is_set_now():
    """A callback may set another rate in mid-run."""
    follows = KLRate(Config.load(None, ["ppo.learning_rate=1e-3", *SCHEDULE]).ppo)
    for _ in range(20):
        follows.follow(9.0, 1e-3)
    follows.follow(9.0, 1e-4)
    assert 1e-4 * follows.factor.item() == pytest.approx(1e-5)


def test_a_batch_stops_before_the_step_at_half_more_than_the_target():
    learner = learner_of()
    learner.step()
    update, theta = learner.update, learner.optimizer.flat.theta
    knobs, _ = learner.knobs()
    for kl, goes in ((1.49, True), (1.51, False), (0.0, False)):  # and it stays so
        before = theta.clone()
        if goes:
            update.running.fill_(True)
        row = torch.zeros(len(update.names) - 3)
        row[update.names.index("approx_kl")] = kl * TARGET
        update.advance(torch.ones_like(theta), row, knobs)
        assert bool(update.running) == goes
        assert torch.equal(theta, before) != goes


def test_with_another_schedule_the_target_stops_a_batch():
    learner = learner_of("ppo.learning_rate=0.01")
    assert min(minibatches(learner)[0] for _ in range(5)) < 16
