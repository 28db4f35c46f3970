"""Events of batches: each kind is told a few times, and then left to loss_metrics.json."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

BATCHES = 3  # in which events of one kind are told


class News:
    """What to tell of the events of each batch, so that one kind does not fill the screen."""

    def __init__(self) -> None:
        self._batches: Counter[str] = Counter()  # that had events of a kind

    def of(self, events: Sequence[str]) -> list[str]:
        """The events of the next batch that are worth a line."""
        told = [event for event in events if self._batches[_kind(event)] < BATCHES]
        for kind in dict.fromkeys(map(_kind, events)):
            self._batches[kind] += 1
            if self._batches[kind] == BATCHES:
                told.append(f"{kind}: later ones are in loss_metrics.json alone")
        return told


def _kind(event: str) -> str:
    """What stands before the first colon, whichever environment or step it names."""
    return re.sub(r" ?\d+", "", event.partition(":")[0])
