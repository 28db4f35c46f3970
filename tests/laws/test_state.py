"""Every tensor of the state is found, and a run that goes on without it is another run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from learner_tools import learner
from torch import Tensor
from value_tools import OF_THE_MACHINE

from ppo.algorithm import discount
from ppo.core.metrics import DECLARED

CASES: dict[str, dict[str, Any]] = {
    "sequences": {
        "env": "CartPole-v1", "network__memory": "gru", "ppo__gamma_schedule": "critic",
        "ppo__gamma": 0.5, "ppo__reward_scaling": "return_std", "env__observation_scale": "tails",
        "ppo__learning_rate_schedule": "kl", "ppo__target_kl": 1e-4,
    },
    "losses": {
        "env": "Pendulum-v1", "env__kwargs": "{max_episode_steps: 9}", "ppo__noise": "contest",
        "auxiliary__trajectory_weight": 0.3, "balancing__kind": "running_mean",
    },
    "learned weights": {
        "env": "Pendulum-v1", "auxiliary__time_to_end_weight": 0.3,
        "balancing__kind": "uncertainty", "network__shared_encoder": "false",
    },
}  # fmt: skip
# In the state though a run goes on without them.
SPARE = {"collector.obs": "read where environments cannot give their observation again"}
# Buffers that a state does without, though they move: each follows from others in the next batch.
DERIVED = {"discount.gamma", "discount.total"}


def made(case: str) -> Any:
    return learner(**{"env__backend": "torch", **CASES[case]})


def copied(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in state.items()}


def differing(one: dict[str, Tensor], other: dict[str, Tensor]) -> set[str]:
    return {name for name in one if not one[name].equal(other[name])}


@pytest.fixture(scope="module", params=CASES)
def trained(request: Any) -> Iterator[tuple[str, Any, dict[str, Tensor], dict[str, Tensor]]]:
    """A learner after three batches, and its state at their beginning and at their end."""
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(discount, "ENOUGH", -100.0)  # so that the horizon moves at all
        run = made(request.param)
        first = copied(run.state_dict())
        for _ in range(3):
            run.step()
        yield request.param, run, first, copied(run.state_dict())


def test_a_fresh_learner_takes_over_every_buffer(trained: Any) -> None:
    case, run, _, state = trained
    fresh, buffers = made(case), copied(dict(run.named_buffers()))
    fresh.load_state_dict(copied(state))
    assert differing(dict(fresh.named_buffers()), buffers) <= DERIVED
    assert differing(fresh.state_dict(), state) == set()


def test_a_tensor_that_is_forgotten_is_noticed(trained: Any) -> None:
    _, run, first, state = trained
    counters = dict(run.counters)

    def is_whole(saved: dict[str, Tensor]) -> bool:
        record, after = gone_on(saved)
        return record == whole[0] and not differing(after, whole[1])

    def gone_on(saved: dict[str, Tensor]) -> tuple[dict[str, Any], dict[str, Tensor]]:
        run.load_state_dict(copied(saved))
        run.counters.update(counters)
        record = run.step()
        numbers = {name: record[name] for name in DECLARED if name not in OF_THE_MACHINE}
        return numbers, copied(run.state_dict())

    whole, moved = gone_on(state), differing(first, state)
    assert is_whole(state), "a run is exact"
    silent = {name for name in moved if is_whole({**state, name: first[name]})}
    assert silent <= set(SPARE)
