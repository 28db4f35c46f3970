"""The future of each step, against slow loops."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ppo.functional.horizons import at_end, until_end, window_mask, windows


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 8), st.integers(1, 4), st.sampled_from([0.1, 0.5]))
def test_the_future_of_each_step_is_what_a_loop_finds(seed, length, horizon, rate):
    draw = torch.Generator().manual_seed(seed)
    ended = torch.rand(length, 2, generator=draw) < rate
    rows = torch.rand(length, 2, 3, generator=draw) + 1.0
    steps, known = until_end(ended)
    last, ahead, mask = (
        at_end(rows[..., 0], ended),
        windows(rows, horizon),
        window_mask(ended, horizon),
    )
    for t in range(length):
        for n in range(2):
            end = next((s for s in range(t, length) if ended[s, n]), None)
            assert bool(known[t, n]) == (end is not None)
            assert last[t, n] == (0.0 if end is None else rows[end, n, 0])
            if end is not None:
                assert steps[t, n] == end - t + 1
            for h in range(horizon):
                row = t + 1 + h
                assert bool(mask[t, n, h]) == (row < length and (end is None or row <= end))
                expected = rows[row, n] if row < length else torch.zeros(3)
                assert torch.equal(ahead[t, n, h], expected)
