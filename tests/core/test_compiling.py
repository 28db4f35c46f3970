"""Compiled and eager training are one algorithm; compiling keeps every promise of the eager one.

Slow because a C++ compiler runs, not because of the training.
"""

from __future__ import annotations

import math

import pytest
import torch

from ppo.algorithm import build
from ppo.algorithm.learner import Learner
from ppo.config import Config

CARTPOLE = [
    "env.id=CartPole-v1",
    "env.backend=torch",
    "env.num_envs=4",
    "env.kwargs={max_episode_steps: 20}",
    "network.shared_encoder=false",
    "ppo.num_steps=16",
    "ppo.num_epochs=2",
    "ppo.num_minibatches=2",
]
DOUBLE_INTEGRATOR = [
    "env.num_envs=4",
    "ppo.num_steps=30",
    "ppo.num_epochs=2",
    "ppo.num_minibatches=2",
    "env.calibration_steps=30",
]
LARGE = [*CARTPOLE, "env.num_envs=64", "ppo.num_steps=32"]  # products by oneDNN
ALL = pytest.mark.parametrize(
    "settings",
    [CARTPOLE, DOUBLE_INTEGRATOR, LARGE],
    ids=["cartpole", "di", "large"],
)
pytestmark = pytest.mark.slow

# Means near zero differ by rounding alone, so they are compared in units of their terms.
ABSOLUTE = 2e-5


def learner(settings: list[str], *more: str) -> Learner:
    config = Config.from_dict({}, [*settings, "system.device=cpu", *more])
    device = build.prepare_torch(config)
    made = build.build_learner(config, build.build_environments(config, device), device)
    made.start()
    return made


def differences(one: dict, other: dict) -> list[str]:
    """The metrics that two records do not share up to float rounding."""
    skip = ("wall_time_s", "steps_per_second", "components", "events")
    found = []
    for name in one.keys() - set(skip):
        a, b = one[name], other[name]
        if a is None or b is None:
            same = a is b
        else:
            same = math.isclose(a, b, rel_tol=2e-3, abs_tol=ABSOLUTE)
        if not same:
            found.append(f"{name}: {a} and {b}")
    return found


@ALL
def test_compiled_and_eager_runs_agree_batch_by_batch(settings: list[str]) -> None:
    eager, compiled = (learner(settings, f"system.compile={how}") for how in ("never", "always"))
    for _ in range(4):
        # From one state: what is compared is a batch, not the growth of its rounding error.
        compiled.load_state_dict({k: v.clone() for k, v in eager.state_dict().items()})
        assert differences(eager.step(), compiled.step()) == []
        torch.testing.assert_close(
            compiled.optimizer.flat.theta, eager.optimizer.flat.theta, rtol=1e-4, atol=2e-6
        )
        assert compiled.counters == eager.counters


@ALL
@pytest.mark.parametrize("how", ["never", "always"])
def test_scaling_rewards_by_a_power_of_two_changes_no_bit(settings: list[str], how: str) -> None:
    runs = [
        learner(settings, f"system.compile={how}", f"env.reward_scale={2.0**power}")
        for power in (0, 20)
    ]
    for _ in range(3):
        for run in runs:
            run.step()
        one, other = (run.optimizer.flat.theta for run in runs)
        assert torch.equal(one, other)


@ALL
def test_nothing_is_compiled_again_after_the_second_batch(settings: list[str]) -> None:
    run = learner(settings, "system.compile=always")
    run.step()
    run.step()
    counters = torch._dynamo.utils.counters
    before = counters["stats"]["unique_graphs"], counters["frames"]["ok"]
    for _ in range(4):  # CartPole meets its time limit in some of them and not in others
        run.step()
    assert (counters["stats"]["unique_graphs"], counters["frames"]["ok"]) == before
    assert not counters["graph_break"]
