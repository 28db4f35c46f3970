"""Adam on one buffer, beside torch's own on the same gradients."""

from __future__ import annotations

import torch
from torch import nn

from ppo.algorithm.optimizer import EPSILON, Adam, FlatParameters

RATE, LIMIT = 0.01, 0.5
GO = torch.ones(1, dtype=torch.bool)


class Two(nn.Module):
    """A policy and a critic, of a few numbers each."""

    def __init__(self) -> None:
        super().__init__()
        self.actor = nn.Parameter(torch.linspace(-1.0, 1.0, 5))
        self.critic = nn.Parameter(torch.linspace(2.0, -2.0, 4))


def test_it_is_torchs_adam() -> None:
    module, theirs = Two(), Two()
    flat = FlatParameters(module)
    adam = Adam(flat, LIMIT)
    other = torch.optim.Adam(theirs.parameters(), lr=RATE, eps=EPSILON)
    source = torch.Generator().manual_seed(0)
    for _ in range(12):
        grad = torch.randn(9, generator=source)
        adam.step(grad, torch.tensor(RATE), GO)
        theirs.actor.grad, theirs.critic.grad = grad[:5].clone(), grad[5:].clone()
        nn.utils.clip_grad_norm_(theirs.parameters(), LIMIT)
        other.step()
        torch.testing.assert_close(module.actor, theirs.actor)
        torch.testing.assert_close(module.critic, theirs.critic)


def test_a_step_that_is_not_to_go_or_not_finite_moves_nothing() -> None:
    module = Two()
    adam = Adam(FlatParameters(module), LIMIT)
    before = {k: v.clone() for k, v in [("theta", adam.flat.theta), *adam.state_dict().items()]}
    adam.step(torch.ones(9), torch.tensor(RATE), ~GO)
    adam.step(torch.full((9,), torch.nan), torch.tensor(RATE), GO)
    for name, value in [("theta", adam.flat.theta), *adam.state_dict().items()]:
        assert torch.equal(value, before[name]), name


def test_groups_are_clipped_one_by_one_and_their_largest_norm_is_told() -> None:
    module = Two()
    flat = FlatParameters(module)
    masks = [flat.mask(lambda name, part=part: name == part) for part in ("actor", "critic")]
    grad = torch.cat([torch.full((5,), 3.0), torch.full((4,), 0.1)])
    clipped, norms = Adam(flat, LIMIT, groups=masks)._clip(grad, grad.norm())
    torch.testing.assert_close(clipped[:5].norm(), torch.tensor(LIMIT))
    assert torch.equal(clipped[5:], grad[5:])
    torch.testing.assert_close(norms, torch.stack([grad.norm(), grad[:5].norm()]))
