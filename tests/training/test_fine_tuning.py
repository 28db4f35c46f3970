"""`train.initial_parts: all`: a run begins with everything that another one has learned."""

from __future__ import annotations

import pytest
import torch
from learner_tools import records, settings

from ppo import Trainer
from ppo.core.errors import UserError
from ppo.training.opening import adopt_policy

FORM = {"train__total_timesteps": 64 * 10, "ppo__learning_rate": 1e-2, "evaluation__interval": 0}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    trainer = Trainer(settings("CartPole-v1", **FORM), folder)
    trainer.train()
    return folder, trainer.learner


@pytest.fixture
def results(trained):
    return trained[0]


def tuned(results, **more):
    more = {"train__initial_policy": "run0001", "train__initial_parts": "all", **FORM} | more
    return Trainer(settings("CartPole-v1", **more), results)


def test_it_values_and_acts_as_the_run_did_at_its_end(trained):
    results, old = trained
    with tuned(results) as new:
        adopt_policy(new.learner, new.config, new.initial_policy)
        obs = torch.randn(20, 4)
        for part in ("agent", "value_scale"):
            ours, theirs = (getattr(w.objective, part).state_dict() for w in (new.learner, old))
            assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
        ours, theirs = (w.objective.agent.values_norm(obs) for w in (new.learner, old))
        assert torch.equal(ours, theirs) and ours.any()
        assert not new.learner.optimizer.first.any()


def test_critic_and_statistics_go_on_where_the_run_ended(results):
    first, seen = {}, {}
    for parts in ("actor", "all"):
        with tuned(results, train__initial_parts=parts, train__total_timesteps=64) as trainer:
            trainer.train()
            first[parts] = records(trainer.folder.path)[0]
            objective = trainer.learner.objective
            held = objective.agent.normalizer.count.item() > 1e6
            seen[parts] = int(objective.value_scale.seen)
        assert held == (parts == "actor")
    assert first["actor"]["explained_variance"] in (0, None)  # a new critic predicts 0
    assert first["all"]["explained_variance"]
    assert seen == {"actor": 1, "all": 11}
    assert "actor, critic and statistics start from run0001" in first["all"]["events"]


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"ppo__return_scale": 1.0}, r"ppo.return_scale: 1.0 differs from the 10.0 of run0001; .*"),
        ({"ppo__value_loss": "huber"}, "needs ppo.value_loss=squared, or"),
        ({"network__hidden_sizes": "[8]"}, "network or critic differs in objective.agent.actor"),
        ({"network__shared_encoder": "true"}, "differs in"),
    ],
)
def test_another_critic_is_refused_in_a_line(results, more, told):
    with tuned(results, **more) as trainer, pytest.raises(UserError, match=told) as error:
        trainer.train()
    assert len(error.value.messages) == 1


def test_a_run_that_is_not_there_is_told_with_the_key(results):
    with pytest.raises(UserError, match=r"^train\.initial_policy: no run 'run0042' in "):
        tuned(results, train__initial_policy="run0042")
