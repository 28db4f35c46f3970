"""Numbers that environments report in `info` at the end of an episode."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ppo.envs.observations import as_array, is_tensor

METRICS = "metrics"  # entry of info: a dict of numbers
# What other figures of a record are made of, and what wrappers add.
KNOWN = (
    "is_success", "TimeLimit.truncated", "reward_components", "action_mask", "final_obs",
    "final_observation",
)  # fmt: skip
LONGEST = 80  # characters of a name


def numbers_of(info: Mapping[Any, Any]) -> dict[str, float]:
    """The finite numbers in an info, and in its dict `metrics`; True is 1.

    Arrays and tensors of one entry are numbers, too.
    """
    found = {}
    for name, value in _named(info):
        if (isinstance(value, np.ndarray) or is_tensor(value)) and math.prod(value.shape) == 1:
            value = as_array(value).reshape(-1)[0]
        if isinstance(value, numbers.Real | np.bool_) and math.isfinite(number := _float(value)):
            found[name] = number
    return found


def _named(info: Mapping[Any, Any]) -> Iterator[tuple[str, Any]]:
    """What may be a figure of a record, with its name there."""
    inner = info.get(METRICS)
    for values in (info, inner if isinstance(inner, Mapping) else {}):
        for name, value in values.items():
            if isinstance(name, str) and name.isprintable() and name not in KNOWN:
                yield name[:LONGEST], value


def _float(value: Any) -> float:
    try:
        return float(value)
    except (OverflowError, ValueError, TypeError):  # a whole number of 400 digits
        return math.nan


def of_one(infos: Mapping[str, Any], env: int, num_envs: int) -> dict[str, Any]:
    """The info of one environment, from what a vector environment gives for all of them."""
    found: dict[str, Any] = {}
    for name, value in infos.items():
        there = infos.get(f"_{name}")
        if name.startswith("_") or (there is not None and not there[env]):
            continue
        if name == METRICS and isinstance(value, Mapping):
            found[name] = of_one(value, env, num_envs)
        elif isinstance(value, np.ndarray) and value.shape == (num_envs,):
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


class DeviceReports(Reports):
    """Reports of simulators, whose infos are tensors [N]: summed on the device, taken at once."""

    def __init__(self) -> None:
        super().__init__()
        self._sums: dict[tuple[str, ...], Any] = {}  # names: [2, M] sums and counts

    def gather(self, info: Mapping[str, Any], ended: Any) -> None:
        """Takes in the infos of the environments where an episode `ended` [N]."""
        found = {name: value for name, value in _named(info) if _is_column(value, ended)}
        if not found:
            return
        import torch

        values = torch.stack([column.reshape(-1).double() for column in found.values()])
        there = ended & torch.isfinite(values)
        added = torch.stack([torch.where(there, values, 0.0).sum(1), there.double().sum(1)])
        names = tuple(found)
        self._sums[names] = self._sums[names] + added if names in self._sums else added

    def take(self) -> dict[str, list[float]]:
        taken, self._sums = self._sums, {}
        sums: dict[str, list[float]] = {}
        for names, parts in taken.items():
            for name, total, count in zip(names, *parts.tolist(), strict=True):
                before = sums.setdefault(name, [0.0, 0.0])
                sums[name] = [before[0] + total, before[1] + count]
        return {name: [total / count] for name, (total, count) in sums.items() if count}


def _is_column(value: Any, ended: Any) -> bool:
    """Whether it is a tensor with a number for each environment."""
    fits = getattr(value, "shape", None) in (ended.shape, (*ended.shape, 1))
    return fits and value.device == ended.device and not value.is_complex()
