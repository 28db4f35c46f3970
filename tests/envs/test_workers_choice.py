"""`env.backend: auto` takes worker processes where the steps are slow, and says so."""

from __future__ import annotations

import copy

import pytest
import torch
from env_tools import assert_same_bits, play, random_actions

from ppo.config import EnvConfig
from ppo.envs.host.slot import Task
from ppo.envs.ids import find_spec
from ppo.envs.make import make_environments
from ppo.envs.workers import choice

SLOW = "slow_env:Slow-v0"


def make(env_id: str, num_envs: int, measures: bool = True, **more):
    config = EnvConfig(id=env_id, num_envs=num_envs, **more)
    cpu = torch.device("cpu")
    return make_environments(config, run_seed=3, device=cpu, measures=measures)


def repaid(num_envs: int = 8, workers: int = 2, spec=None):
    return choice.repaid(spec or find_spec("Pendulum-v1"), Task({}, 0), num_envs, 0, workers)


def test_slow_environments_go_to_workers_with_the_data_of_sync() -> None:
    with make(SLOW, 3, workers=2) as shared, make(SLOW, 3, measures=False) as alone:
        assert (shared.backend, alone.backend) == ("async", "sync")
        (note,) = [note for note in shared.notes if "env.backend: auto" in note]
        assert "2 processes, this one among them" in note and len(shared._workers) == 1
        assert torch.equal(shared.reset(), alone.reset())
        actions = random_actions(alone, 25)
        assert_same_bits(play(shared, actions), play(alone, actions))


def test_what_a_user_writes_is_what_runs() -> None:
    with make(SLOW, 3, workers=2, backend="sync") as envs:
        assert envs.backend == "sync"
    with make(SLOW, 3, workers=1) as envs:  # nothing to share with
        assert envs.backend == "sync"


@pytest.mark.parametrize(
    ("milliseconds", "num_envs", "workers", "chosen"),
    [
        (0.02, 8, 2, False),
        (0.02, 1000, 2, False),  # so short that a busy machine could look like it
        (0.5, 2, 2, False),  # saves half a millisecond
        (0.5, 8, 2, True),
        (1.0, 8, 2, True),
        (1.0, 8, 1, False),
        (1.0, 1, 8, False),
        (5000.0, 8, 2, False),
    ],
)
def test_it_goes_by_what_a_step_of_all_would_save(
    milliseconds, num_envs, workers, chosen, monkeypatch
) -> None:
    monkeypatch.setattr(choice, "seconds_of_a_step", lambda *_: milliseconds / 1000)
    assert bool(repaid(num_envs, workers)) == chosen


def test_what_fails_or_cannot_be_sent_stays_in_this_process(monkeypatch) -> None:
    broken = copy.deepcopy(find_spec("Pendulum-v1"))
    broken.kwargs = {"no_such_argument": 1}
    assert choice.seconds_of_a_step(broken, Task({}, 0), 0) == 0.0 and not repaid(spec=broken)
    monkeypatch.setattr(choice, "seconds_of_a_step", lambda *_: 0.01)
    assert repaid()

    def refuse(spec):
        raise choice.UserError("it cannot be sent")

    monkeypatch.setattr(choice, "to_text", refuse)
    assert not repaid()
