"""What a trainer holds is freed with it, also where it cannot be made."""

import pytest
from learner_tools import settings

from ppo import Trainer
from ppo.algorithm import build
from ppo.core.errors import UserError


def test_an_environment_is_freed_with_its_trainer(tmp_path):
    trainer = Trainer(settings("Pendulum-v1", env__backend="async"), tmp_path)
    trainer.train(batches=1)
    workers = [worker.process for worker in trainer.envs._workers]
    assert workers and all(worker.poll() is None for worker in workers), "for the next train()"
    del trainer
    assert all(worker.poll() is not None for worker in workers)


def test_a_mistake_leaves_no_environment_behind(tmp_path, monkeypatch):
    made, place = [], build.place

    def watched(*args, **options):
        found = place(*args, **options)
        made.append([worker.process for worker in found[0]._workers])
        return found

    monkeypatch.setattr(build, "place", watched)
    wrong = settings("Pendulum-v1", env__backend="async", network__critic_keys="[nowhere]")
    with pytest.raises(UserError, match="nowhere") as kept:  # as a notebook keeps the last one
        Trainer(wrong, tmp_path)
    workers = made.pop()
    assert kept.value and workers and all(worker.poll() is not None for worker in workers)
    with pytest.raises(UserError, match="logging.trackers: nowhere"):
        Trainer(settings("Pendulum-v1", logging__trackers="[nowhere]"), tmp_path)
    assert not made, "what needs no environment is checked before"


@pytest.mark.parametrize("backend", ["sync", "async"])
def test_a_closed_trainer_says_so(tmp_path, backend):
    with Trainer(settings("Pendulum-v1", env__backend=backend), tmp_path) as trainer:
        trainer.train(batches=1)
    with pytest.raises(UserError, match="^train: this trainer is closed; .* with resume$"):
        trainer.train(batches=1)
