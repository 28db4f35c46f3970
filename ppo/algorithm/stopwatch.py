"""How long the parts of a batch take."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Stopwatch:
    """Seconds by part, summed over a run.

    A part that is left by an exception counts as well: its time was spent.
    """

    def __init__(self, *parts: str) -> None:
        self.seconds = dict.fromkeys(parts, 0.0)

    @contextmanager
    def part(self, name: str, out_of: str | None = None) -> Iterator[None]:
        """Time what is done inside.

        Args:
            out_of: the part around it, which is not to count this time too.
        """
        begin = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - begin
            self.seconds[name] += spent
            if out_of is not None:
                self.seconds[out_of] -= spent
