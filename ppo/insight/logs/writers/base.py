"""What is known of a library that writes logs: each has a file in this folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ppo.insight.logs.log import MetricsLog
from ppo.insight.logs.series import Series


class Writer(NamedTuple):
    """A library, by its tags.

    A figure whose unit cannot be converted is left out, and a note says so.
    """

    wrote: Callable[[Series], bool]  # whether a log is one of its own
    read: Callable[[Series], MetricsLog]  # such a log, under the contract's names
    names: tuple[Mapping[str, Any], ...] = ()  # what its tags mean
