"""Counted randomness: a generator is made where it is needed, from what it is for.

Nothing has to be saved for a resume, a retry cannot shift another stream, and two ranks never
share one.
"""

from __future__ import annotations

import numpy as np
import torch

PURPOSES = ("initialization", "actions", "minibatches", "evaluation", "probe", "calibration")


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
