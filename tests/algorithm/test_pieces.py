"""A minibatch taken in pieces is the same minibatch."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ppo.algorithm import build, pieces
from ppo.algorithm.learner import Learner
from ppo.config import Config
from ppo.core.data import Batch

SETTINGS = ["system.device=cpu", "system.compile=never", "env.num_envs=8"]
SETTINGS += ["ppo.num_steps=24", "ppo.num_minibatches=4"]


def learner(*more: str) -> Learner:
    config = Config.from_dict({}, [*SETTINGS, *more])
    device = build.prepare_torch(config)
    made = build.build_learner(config, build.build_environments(config, device), device)
    made.start()
    return made


def batch_of(made: Learner) -> Batch:
    rollout, _ = made.collector(0, 0)
    batch = made.with_targets(made.prepare(rollout)[0], rollout)
    valid = torch.ones_like(batch.valid)
    valid[:40:3] = 0.0  # dummy steps, not as many in each piece
    return batch.but(valid=valid)


@given(st.integers(1, 300_000))
def test_pieces_are_equal_and_of_a_size_that_the_cache_holds(samples: int) -> None:
    found = pieces.number_of_pieces(samples)
    assert samples % found == 0
    if found > 1:
        assert pieces.SMALLEST <= samples // found <= pieces.LARGEST < samples


@pytest.mark.parametrize(
    "more",
    [
        [],
        ["ppo.normalize_advantages=batch", "ppo.entropy_coefficient=0.01"],
        ["ppo.value_loss=hl_gauss"],
        ["env.num_envs=8", "ppo.value_clip=absolute"],
    ],
    ids=lambda more: more[-1] if more else "shipped",
)
@pytest.mark.parametrize("parts", [2, 6])
def test_gradient_and_metrics_are_those_of_the_whole(more: list[str], parts: int) -> None:
    made = learner(*more)
    update, objective, theta = made.update, made.objective, made.optimizer.flat.theta
    batch, (knobs, _) = batch_of(made), made.knobs()
    with torch.no_grad():
        theta.add_(0.02 * torch.randn(theta.shape, generator=torch.Generator().manual_seed(3)))
    assert objective.separable
    expected, metrics = update.gradient(theta, batch, knobs)
    names = sorted(metrics)

    minibatch, share = update.open(batch, torch.arange(batch.num_sequences), parts)
    found = [update.piece(theta, piece, knobs) for piece in pieces.cut(minibatch, parts)]
    grad = sum(part * size for (part, _), size in zip(found, share, strict=True))
    peaks = [objective.is_peak(name) for name in names]
    row = pieces.merge(torch.stack([row for _, row in found]), share, peaks)

    assert share.sum().item() == pytest.approx(1.0) and len(set(share.tolist())) > 1
    torch.testing.assert_close(grad, expected, rtol=1e-4, atol=1e-6 * float(expected.abs().max()))
    torch.testing.assert_close(
        row, torch.stack([metrics[name] for name in names]), rtol=1e-4, atol=1e-6
    )


def test_a_run_in_pieces_learns_what_a_run_of_whole_minibatches_learns(monkeypatch) -> None:
    whole, cut = learner(), learner()
    calls: list[int] = []
    original = cut.update.in_pieces
    monkeypatch.setattr(
        cut.update, "in_pieces", lambda *a, **k: calls.append(a[3]) or original(*a, **k)
    )
    for _ in range(2):
        cut.load_state_dict({k: v.clone() for k, v in whole.state_dict().items()})
        whole.step()
        with monkeypatch.context() as small:
            small.setattr(pieces, "LARGEST", 16)
            small.setattr(pieces, "SMALLEST", 4)
            cut.step()
        torch.testing.assert_close(
            cut.optimizer.flat.theta, whole.optimizer.flat.theta, rtol=1e-4, atol=2e-6
        )
    assert calls and set(calls) == {calls[0]} and calls[0] > 1


def test_rewards_times_a_power_of_two_change_no_bit_of_a_run_in_pieces(monkeypatch) -> None:
    monkeypatch.setattr(pieces, "LARGEST", 16)
    monkeypatch.setattr(pieces, "SMALLEST", 4)
    one, other = learner(), learner(f"env.reward_scale={2.0**20}")
    for _ in range(3):
        one.step()
        other.step()
        assert torch.equal(one.optimizer.flat.theta, other.optimizer.flat.theta)


@pytest.mark.parametrize(
    "setting", ["auxiliary.trajectory_weight=1.0", "balancing.kind=uncertainty"]
)
def test_losses_that_are_no_means_over_samples_are_not_cut(setting: str) -> None:
    assert not learner(setting).objective.separable
