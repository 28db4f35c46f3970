"""Raw series of a foreign log, before its tags are matched with columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass
class Series:
    """`points[tag]` is [n, 2]: step and value, in order of writing; `texts` are text summaries."""

    points: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)  # event files that were merged
    runs: int = 1  # in the folder, of which the newest was read
    counted: bool = False  # the axis counts rows or updates, and no steps of an environment
    used: set[str] = field(default_factory=set)  # tags that a reader has taken

    def has(self, *tags: str) -> bool:
        return all(tag in self.points and len(self.points[tag]) for tag in tags)

    def steps(self, *tags: str) -> NDArray[np.float64]:
        """The sorted steps at which any of the tags was written."""
        found = [self.points[tag][:, 0] for tag in tags if tag in self.points]
        return np.unique(np.concatenate(found)) if found else np.zeros(0)

    def at(self, tag: str, steps: NDArray[np.float64]) -> NDArray[np.float64]:
        """The tag's values at exactly these steps; NaN where it was not written."""
        column = np.full(len(steps), np.nan)
        points = self.points.get(tag)
        self.used.add(tag)
        if points is None or not len(points) or not len(steps):
            return column
        place = np.searchsorted(steps, points[:, 0])
        place = np.clip(place, 0, len(steps) - 1)
        hit = steps[place] == points[:, 0]
        column[place[hit]] = points[hit, 1]
        return column

    def mean_between(
        self, tag: str, steps: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and number of the values written after the previous step, up to each step."""
        total, count = np.zeros(len(steps)), np.zeros(len(steps))
        points = self.points.get(tag)
        self.used.add(tag)
        if points is not None and len(points) and len(steps):
            place = np.searchsorted(steps, points[:, 0])
            keep = (place < len(steps)) & ~np.isnan(points[:, 1])
            np.add.at(total, place[keep], points[keep, 1])
            np.add.at(count, place[keep], 1.0)
        with np.errstate(all="ignore"):
            return np.where(count > 0, total / count, np.nan), count


def collect(rows: Mapping[str, ArrayLike]) -> dict[str, NDArray[np.float64]]:
    """Steps and values in turn, or in pairs, as arrays without the steps that are not numbers."""
    points = {}
    for tag, pairs in rows.items():
        array = np.asarray(pairs, dtype=np.float64).reshape(-1, 2)
        array = array[np.isfinite(array[:, 0])]
        if len(array):
            points[tag] = array
    return points
