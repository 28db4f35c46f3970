"""The libraries whose logs are read, one file each, from their own code as of 2026."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ppo.core.registry import Registry
from ppo.insight.logs.log import MetricsLog
from ppo.insight.logs.series import Series

WRITERS = Registry("ppo.insight.logs.writers")


class Writer(NamedTuple):
    """A library, by its tags.

    A figure whose unit cannot be converted is left out, and a note says so.
    """

    number: int  # of those that know a log the smallest reads it
    wrote: Callable[[Series], bool]  # whether a log is one of its own
    read: Callable[[Series], MetricsLog]  # such a log, under the contract's names
    names: tuple[Mapping[str, Any], ...] = ()  # what its tags mean


def writers() -> list[Writer]:
    """Every library, in the order in which a log is shown to them."""
    return sorted(map(WRITERS.get, WRITERS.names()), key=lambda writer: writer.number)
