"""The libraries whose logs are read, one file each, from their own code as of 2026."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ppo.core.registry import Registry
from ppo.insight.logs.log import MetricsLog
from ppo.insight.logs.series import Series

WRITERS = Registry("ppo.insight.logs.writers")
Read = Callable[[Series], MetricsLog]


class Writer(NamedTuple):
    """A library, by its tags; how to read its logs is beside it.

    A figure whose unit cannot be converted is left out, and a note says so.
    """

    number: int  # of those that know a log the smallest reads it
    marks: tuple[tuple[str, ...], ...]  # alternatives: tags that are all there, `a/` any below it
    pattern: str  # that a single tag gives away
    read: Read  # such a log, under the contract's names
    names: tuple[Mapping[str, Any], ...]  # what its tags mean

    def wrote(self, series: Series) -> bool:
        """Whether a log is one of its own."""
        tags = [tag for tag in series.points if series.has(tag)]
        known = {*tags, *(f"{tag.split('/', 1)[0]}/" for tag in tags)}
        if any(known.issuperset(mark) for mark in self.marks):
            return True
        return bool(self.pattern) and any(re.search(self.pattern, tag) for tag in series.points)


def reads(
    name: str,
    number: int,
    *marks: tuple[str, ...],
    pattern: str = "",
    names: tuple[Mapping[str, Any], ...] = (),
) -> Callable[[Read], Read]:
    """Decorator that files the reader of a library's logs; see `Writer`."""

    def keep(read: Read) -> Read:
        WRITERS.register(name)(Writer(number, marks, pattern, read, names))
        return read

    return keep


def writers() -> list[Writer]:
    """Every library, in the order in which a log is shown to them."""
    return sorted(map(WRITERS.get, WRITERS.names()), key=lambda writer: writer.number)
