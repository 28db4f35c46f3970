"""Moments equal those of numpy, however the samples are split and merged."""

from __future__ import annotations

import numpy as np
import torch

from ppo.functional.moments import (
    explained_variance,
    masked_moments,
    merge_moments,
    merge_over_ranks,
    remember,
)


def test_moments_of_parts_merge_into_those_of_the_whole():
    values = torch.randn(50, 3, dtype=torch.float64) * 7 - 2
    weights = (torch.arange(50) % 4 > 0).double()
    parts = [masked_moments(values[rows], weights[rows]) for rows in (slice(12), slice(12, 50))]
    count, mean, variance = merge_moments(*parts[0], *parts[1])
    kept = values[weights > 0].numpy()
    assert float(count) == len(kept)
    np.testing.assert_allclose(mean, kept.mean(0), rtol=1e-12)
    np.testing.assert_allclose(variance, kept.var(0), rtol=1e-12)


def test_ranks_are_merged_one_after_the_other(monkeypatch):
    from ppo.core import parallel

    samples = [torch.randn(n, 2, dtype=torch.float64) + n for n in (3, 5, 4)]
    packed = [
        torch.cat([count.reshape(1), mean, variance])
        for count, mean, variance in (masked_moments(s, torch.ones(len(s))) for s in samples)
    ]
    monkeypatch.setattr(parallel, "is_active", lambda: True)
    monkeypatch.setattr(parallel, "gather", lambda mine: [mine, *packed[1:]])
    count, mean, variance = merge_over_ranks(*masked_moments(samples[0], torch.ones(3)))
    whole = torch.cat(samples).numpy()
    assert float(count) == 12
    np.testing.assert_allclose(mean, whole.mean(0), rtol=1e-12)
    np.testing.assert_allclose(variance, whole.var(0), rtol=1e-12)


def test_about_a_hundred_episodes_are_remembered():
    seen = torch.zeros(2)
    for _ in range(2000):
        remember(seen, torch.tensor([3.0, 1.0]))
    torch.testing.assert_close(seen, torch.tensor([300.0, 100.0]), rtol=1e-4, atol=0)
    before = seen.clone()
    remember(seen, torch.tensor([8.0, 2.0]))  # two at once count as two
    torch.testing.assert_close(seen, before * 0.99**2 + torch.tensor([8.0, 2.0]))


def test_variance_is_explained_wholly_not_at_all_or_worse():
    targets = torch.tensor([[1.0], [2.0], [3.0], [90.0]])
    weights = torch.tensor([1.0, 1.0, 1.0, 0.0])
    for predictions, wanted in ((targets + 5, 1.0), (targets * 0, 0.0), (-targets, -3.0)):
        assert explained_variance(targets, predictions, weights).tolist() == [wanted]
    assert explained_variance(targets * 0, targets, weights).isnan().all()
