"""Counted randomness: a generator, or a number, is made where it is needed, from what it is for.

Nothing has to be saved for a resume, a retry cannot shift another stream, and two ranks never
share one.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

PURPOSES = ("initialization", "actions", "minibatches", "evaluation", "probe", "calibration")

# Odd multipliers of Steele, Lea & Flood, "Fast splittable pseudorandom number generators" (2014),
# and of Vigna's and Steele's tables; as signed 64-bit numbers, for torch wraps int64 products.
_ENV, _EPISODE, _DRAW = (
    value - (1 << 64)
    for value in (0x9E3779B97F4A7C15, 0xD1342543DE82EF95, 0xAF251AF3B0F025B5)
)  # fmt: skip
_MIX_1, _MIX_2 = 0xBF58476D1CE4E5B9 - (1 << 64), 0x94D049BB133111EB - (1 << 64)


def stream_seed(run_seed: int, purpose: str, *counters: int) -> int:
    """A 63-bit seed from the run's seed, the purpose and counters (batch, attempt, rank)."""
    words = [run_seed, PURPOSES.index(purpose), *counters]
    high, low = np.random.SeedSequence(words).generate_state(2, np.uint32)
    return (int(high) << 31) ^ int(low)


def generator(device: torch.device, run_seed: int, purpose: str, *counters: int) -> torch.Generator:
    """A torch generator on `device`, seeded by `stream_seed`."""
    made = torch.Generator(device=device)
    made.manual_seed(stream_seed(run_seed, purpose, *counters))
    return made


def _wrapped(x: int) -> int:
    """What int64 holds after an overflow."""
    return (x + (1 << 63)) % (1 << 64) - (1 << 63)


def _mixed(x: Tensor) -> Tensor:
    """The finalizer of splitmix64; the shifts are made logical by masking the sign's copies."""
    x = (x ^ ((x >> 30) & ((1 << 34) - 1))) * _MIX_1
    x = (x ^ ((x >> 27) & ((1 << 37) - 1))) * _MIX_2
    return x ^ ((x >> 31) & ((1 << 33) - 1))


def uniforms(run_seed: Tensor | int, env_ids: Tensor, episodes: Tensor, count: int) -> Tensor:
    """Numbers in [0, 1) with 24 bits each, a hash of their purpose.

    Args:
        run_seed: int64, a number or a tensor of no axes.
        env_ids: [N] int64.
        episodes: [N] int64.
        count: R.

    Returns:
        [N, R] float32.
    """
    base = _mixed(env_ids * _ENV + run_seed) + episodes * _EPISODE
    # One by one: compiled for a GPU, a constant of 64 bits times a running index does not fit.
    bits = _mixed(torch.stack([base + _wrapped(i * _DRAW) for i in range(1, count + 1)], 1))
    return ((bits >> 40) & ((1 << 24) - 1)).to(torch.float32) * (1.0 / (1 << 24))
