"""What environments report of their episodes, as figures of a batch's record."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

MOST = 32  # names of a run
SHOWN = 5  # names that an event lists


class Reported(nn.Module):
    """Means over the episodes of a batch; the first names of a run stay, further ones do not come.

    Which names those are is kept as digests, on the host, so that a resumed run has the same ones.
    """

    of_a_rank = ("known", "told")  # they follow the environments of one process

    known: Tensor  # [MOST] int64 digests of names; 0: free
    told: Tensor  # scalar bool: that there are more

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("known", torch.zeros(MOST, dtype=torch.int64))
        self.register_buffer("told", torch.zeros((), dtype=torch.bool))

    def __call__(self, found: Mapping[str, list[float]]) -> tuple[dict[str, float], list[str]]:
        """Fields `info/NAME` of a record, and events.

        Args:
            found: the finite numbers of each name, in any order.
        """
        if not found:
            return {}, []
        kept = self._kept(sorted(found))
        left_out = sorted(found.keys() - kept)
        events = []
        if left_out and not self.told:
            self.told.fill_(True)
            names = ", ".join(left_out[:SHOWN]) + (" and others" if len(left_out) > SHOWN else "")
            events.append(
                f"the environment reports more than {MOST} numbers in info: {names} are left out; "
                "logging.info: false leaves out all"
            )
        return {f"info/{name}": mean(found[name]) for name in sorted(kept)}, events

    def _kept(self, names: Iterable[str]) -> set[str]:
        """Those of the names that are known already, or for which there is room."""
        known = [number for number in self.known.tolist() if number]
        kept = set()
        for name in names:
            number = digest(name)
            if number not in known and len(known) < MOST:
                self.known[len(known)] = number
                known.append(number)
            if number in known:
                kept.add(name)
        return kept


def digest(name: str) -> int:
    """A number of 63 bits, not 0."""
    raw = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return (int.from_bytes(raw, "little") >> 1) or 1


def mean(values: list[float]) -> float:
    """The same to the bit in any order; finite for finite numbers."""
    return math.fsum(value / len(values) for value in values)
