"""The arrays that environments and trainer share: row i belongs to environment i.

In one process they are ordinary arrays; with worker processes they lie in shared memory.
"""

from __future__ import annotations

import mmap
from typing import NamedTuple

import numpy as np
import numpy.typing as npt


class Rows(NamedTuple):
    """The inputs and outputs of N environments in a step. K reward components.

    Observations are written to obs[parity] and parity alternates, so that the observation before
    a step outlives it.
    """

    actions: np.ndarray  # [N, *action_shape] float32 or int64
    obs: np.ndarray  # [2, N, *obs_shape] float32 or uint8
    final_obs: np.ndarray  # [N, *obs_shape], written where an episode ended
    rewards: np.ndarray  # [N, K] float32
    totals: np.ndarray  # [N] float64: the reward that the components must sum to
    terminated: np.ndarray  # [N] bool
    truncated: np.ndarray  # [N] bool
    success: np.ndarray  # [N] float32
    valid: np.ndarray  # [N] bool
    progress: np.ndarray  # [N] int64: the largest entry grows with all that is begun

    def part(self, start: int, stop: int) -> Rows:
        """The same memory, for the environments from `start` to `stop`."""
        parts = {name: getattr(self, name)[start:stop] for name in self._fields if name != "obs"}
        return Rows(obs=self.obs[:, start:stop], **parts)


class Shapes(NamedTuple):
    """The shapes of `Rows`."""

    num_envs: int
    action_shape: tuple[int, ...]
    action_dtype: str
    obs_shape: tuple[int, ...]
    obs_dtype: str
    num_components: int

    def fields(self) -> list[tuple[tuple[int, ...], npt.DTypeLike]]:
        n = self.num_envs
        return [
            ((n, *self.action_shape), self.action_dtype),
            ((2, n, *self.obs_shape), self.obs_dtype),
            ((n, *self.obs_shape), self.obs_dtype),
            ((n, self.num_components), "float32"),
            ((n,), "float64"),
            ((n,), "bool"),
            ((n,), "bool"),
            ((n,), "float32"),
            ((n,), "bool"),
            ((n,), "int64"),
        ]

    def num_bytes(self) -> int:
        """Size of the memory that `rows` needs."""
        return sum(_padded(shape, dtype) for shape, dtype in self.fields())

    def rows(self, memory: bytearray | mmap.mmap) -> Rows:
        """Arrays over `memory`, which is at least `num_bytes()` long."""
        arrays, offset = [], 0
        for shape, dtype in self.fields():
            arrays.append(np.ndarray(shape, dtype, buffer=memory, offset=offset))
            offset += _padded(shape, dtype)
        return Rows(*arrays)


def _padded(shape: tuple[int, ...], dtype: npt.DTypeLike) -> int:
    """Bytes of an array, rounded up so that the next one starts on a cache line of its own."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return -(-size // 64) * 64
