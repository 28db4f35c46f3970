"""A minibatch larger than a processor's cache, taken piece by piece.

Every layer of a network writes its output for all samples before the next layer reads it. Of 65,536
samples that is 16 MB for 64 units, which a core's cache does not hold; of 4,096 it does. The
gradient of the whole is the sum of the pieces' gradients, each by its share of the samples.
"""

from __future__ import annotations

from operator import itemgetter

import torch
from torch import Tensor

from ppo.core.data import Batch

# One core, networks of 2x64, compiled, ms for an epoch of 262,144 samples: minibatches of 65,536
# 268; 8,192 236; 4,096 208; 2,048 217; 1,024 250.
LARGEST = 4096
SMALLEST = 1024


def number_of_pieces(samples: int) -> int:
    """How many equal pieces a minibatch is best cut into: 1 where none fit."""
    if samples <= LARGEST:
        return 1
    for pieces in range(-(-samples // LARGEST), samples // SMALLEST + 1):
        if samples % pieces == 0:
            return pieces
    return 1


def cut(minibatch: Batch, pieces: int) -> list[Batch]:
    """Equal pieces of a minibatch of single steps, as views of it."""
    size = minibatch.obs.shape[0] // pieces
    starts = range(0, pieces * size, size)
    return [minibatch.map(itemgetter(slice(start, start + size))) for start in starts]


def shares(valid: Tensor, pieces: int) -> Tensor:
    """[n] the part of a minibatch's samples that count which each piece holds.

    A mean over the minibatch is the sum of the pieces' means times these.
    """
    counts = valid.view(pieces, -1).sum(1)
    return counts / counts.sum().clamp(min=1.0)


def merge(rows: Tensor, share: Tensor, are_peaks: list[bool]) -> Tensor:
    """[M] metrics of a minibatch from those of its pieces [n, M]: means, or maxima where so set."""
    means, largest = (rows * share.unsqueeze(-1)).sum(0), rows.amax(0)
    return torch.where(torch.tensor(are_peaks, device=rows.device), largest, means)
