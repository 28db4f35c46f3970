"""Adam on one buffer, beside torch's own on the same gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ppo.algorithm.build import build_environments, build_learner
from ppo.algorithm.optimizer import Adam, FlatParameters
from ppo.config import Config

RATE, EPSILON, LIMIT = 0.01, 1e-5, 0.5
GO = torch.ones(1, dtype=torch.bool)


class Two(nn.Module):
    """A policy and a critic, of a few numbers each."""

    def __init__(self) -> None:
        super().__init__()
        self.actor = nn.Parameter(torch.linspace(-1.0, 1.0, 5))
        self.critic = nn.Parameter(torch.linspace(2.0, -2.0, 4))


class Torchs:
    """The two parts, each by torch's Adam, which sees the part's own steps alone."""

    def __init__(self) -> None:
        self.parts = {"actor": Two().actor, "critic": Two().critic}
        self.adams = {
            name: torch.optim.Adam([part], lr=RATE, eps=EPSILON)
            for name, part in self.parts.items()
        }

    def step(self, grads: dict[str, Tensor]) -> None:
        for name, grad in grads.items():
            self.parts[name].grad = grad
        nn.utils.clip_grad_norm_([self.parts[name] for name in grads], LIMIT)
        for name in grads:
            self.adams[name].step()


@pytest.mark.parametrize("alone", ["", "c", "jjc", "jcc", "cj", "jjjjcccc"])
def test_it_is_torchs_adam_also_where_the_critic_has_steps_of_its_own(alone: str) -> None:
    module = Two()
    flat = FlatParameters(module)
    critic = flat.mask(lambda name: name == "critic").bool() if alone else None
    adam, theirs = Adam(flat, EPSILON, LIMIT, critic=critic), Torchs()
    source = torch.Generator().manual_seed(0)
    for kind in (alone or "j") * 6:
        grads = {
            "actor": torch.randn(5, generator=source),
            "critic": torch.randn(4, generator=source),
        }
        if kind == "c":
            grads["actor"] = torch.zeros(5)
        both = torch.cat([grads["actor"], grads["critic"]])
        adam.step(both, torch.tensor(RATE), GO, critic_alone=kind == "c")
        if kind == "c":
            del grads["actor"]
        theirs.step(grads)
        torch.testing.assert_close(module.actor, theirs.parts["actor"])
        torch.testing.assert_close(module.critic, theirs.parts["critic"])


@pytest.mark.parametrize("shared", [False, True])
def test_epochs_of_the_critic_leave_what_is_the_policys_own(shared: bool, monkeypatch) -> None:
    config = Config.from_dict(
        {},
        [
            "env.id=Pendulum-v1",
            "ppo.value_epochs=2",
            "env.num_envs=4",
            f"network.shared_encoder={str(shared).lower()}",
            "system.device=cpu",
            "system.compile=never",
        ],
    )
    learner = build_learner(
        config, build_environments(config, torch.device("cpu")), torch.device("cpu")
    )
    learner.start()
    update, flat = learner.update, learner.optimizer.flat
    moved: set[str] = set()
    value_step = update.value_step

    def watched(*what) -> None:
        before = flat.unflatten(flat.theta.clone())
        value_step(*what)
        after = flat.unflatten(flat.theta)
        moved.update(name for name in after if not torch.equal(before[name], after[name]))

    monkeypatch.setattr(update, "_value_step", watched)
    learner.step()
    own = {name for name in flat.names if name.startswith(("agent.actor", "agent.distribution"))}
    assert own and moved == set(flat.names) - own


def test_a_resumed_run_may_add_or_drop_epochs_of_the_critic() -> None:
    critic = torch.tensor([False] * 5 + [True] * 4)
    with_them = Adam(FlatParameters(Two()), EPSILON, LIMIT, critic=critic)
    without = Adam(FlatParameters(Two()), EPSILON, LIMIT)
    for adam in (with_them, without):
        adam.step(torch.ones(9), torch.tensor(RATE), GO)
    with_them.step(torch.ones(9), torch.tensor(RATE), GO, critic_alone=True)
    state = {name: value.clone() for name, value in with_them.state_dict().items()}
    with_them.load_state_dict(without.state_dict())
    assert with_them.steps.tolist() == [1.0, 1.0]
    without.load_state_dict(state)
    assert without.steps.tolist() == [1.0]
