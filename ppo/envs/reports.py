"""Numbers that environments report in `info` at the end of an episode."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from typing import Any

import numpy as np

METRICS = "metrics"  # entry of info: a dict of numbers
# What other figures of a record are made of, and what wrappers add.
KNOWN = ("is_success", "TimeLimit.truncated", "reward_components", "action_mask")
LONGEST = 80  # characters of a name


def numbers_of(info: Mapping[Any, Any]) -> dict[str, float]:
    """The finite numbers in an info, and in its dict `metrics`; True is 1."""
    found = dict(_finite(info))
    inner = info.get(METRICS)
    return found | dict(_finite(inner)) if isinstance(inner, Mapping) else found


def _finite(values: Mapping[Any, Any]) -> list[tuple[str, float]]:
    pairs = []
    for name, value in values.items():
        if not isinstance(name, str) or not name.isprintable() or name in KNOWN:
            continue
        if isinstance(value, np.ndarray) and value.ndim == 0:
            value = value[()]
        if isinstance(value, numbers.Real | np.bool_):
            number = _float(value)
            if math.isfinite(number):
                pairs.append((name[:LONGEST], number))
    return pairs


def _float(value: Any) -> float:
    try:
        return float(value)
    except (OverflowError, ValueError, TypeError):  # a whole number of 400 digits
        return math.nan


def of_one(infos: Mapping[str, Any], env: int) -> dict[str, Any]:
    """The info of one environment, from what a vector environment gives for all of them."""
    found: dict[str, Any] = {}
    for name, value in infos.items():
        there = infos.get(f"_{name}")
        if name.startswith("_") or (there is not None and not there[env]):
            continue
        if name == METRICS and isinstance(value, Mapping):
            found[name] = of_one(value, env)
        elif isinstance(value, np.ndarray) and value.ndim == 1:
            found[name] = value[env]
    return found


class Reports:
    """The reports of all episodes that have ended, until they are taken."""

    def __init__(self) -> None:
        self._values: dict[str, list[float]] = {}

    def add(self, report: Mapping[str, float]) -> None:
        """Takes in what one episode reported."""
        for name, value in report.items():
            self._values.setdefault(name, []).append(value)

    def take(self) -> dict[str, list[float]]:
        """Every number of each name, none of which is there any more after that."""
        taken, self._values = self._values, {}
        return taken
