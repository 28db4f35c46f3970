"""The curves of a comparison's page, as the numbers that its script draws."""

from __future__ import annotations

from typing import Any

import numpy as np

from ppo.core.metrics import clean, curves
from ppo.insight.comparison.compare import Comparison
from ppo.insight.comparison.groups import Group
from ppo.insight.comparison.run import Run
from ppo.insight.comparison.statistics import iqm, iqm_interval

POINTS = 160  # of a curve at most
ALL_POINTS = 60_000  # of the page, so that 200 runs stay below 2 MB
GRID = 80  # points of a group's mean and band
BAND_RESAMPLES = 200  # of each point of a band


def data(comparison: Comparison) -> dict[str, Any]:
    """What the script of the page draws."""
    runs = comparison.runs
    points = int(max(24, min(POINTS, ALL_POINTS / max(len(runs), 1) / len(curves()))))
    drawn = [metric for metric in curves() if any(metric.name in run.figures for run in runs)]
    present = [metric.name for metric in drawn]
    return {
        "metrics": [{"name": metric.name, "label": metric.label} for metric in drawn],
        "groups": [
            {
                "label": group.label,
                "runs": [_run_data(run, present, points) for run in group.runs],
                "bands": {name: _band(group, name) for name in present},
            }
            for group in comparison.groups
        ],
    }


def _run_data(run: Run, names: list[str], points: int) -> dict[str, Any]:
    steps, seconds = run.log.steps(), run.log.get("wall_time_s")
    chosen = np.unique(np.linspace(0, max(len(run.log) - 1, 0), points).astype(int))
    chosen = chosen[chosen < len(run.log)]
    marks = []
    for finding in run.findings[:3]:
        row = int(np.searchsorted(run.log.batches, finding.since_batch))
        if row < len(run.log):
            marks.append([short(steps[row]), short(seconds[row]), finding.illness])
    return {
        "name": run.name,
        "steps": [short(value) for value in steps[chosen]],
        "seconds": [short(value) for value in seconds[chosen]],
        "y": {
            name: [short(value) for value in run.log.get(name)[chosen]]
            for name in names
            if name in run.figures
        },
        "marks": marks,
    }


def short(value: float) -> float | None:
    """Five digits are more than a screen shows; null for what is not a number."""
    return clean(float(f"{value:.5g}"))


def _band(group: Group, name: str) -> dict[str, list[float | None]]:
    """Interquartile mean and its bootstrap interval on a grid of the steps that all runs took.

    Empty where that is not a stretch: a mean of the runs that are left is not the group's.
    """
    curves = []
    for run in group.runs:
        steps, values = run.log.steps(), run.log.get(name)
        good = np.isfinite(steps) & np.isfinite(values)
        if good.any():
            curves.append((steps[good], values[good]))
    start = max((steps[0] for steps, _ in curves), default=0.0)
    end = min((steps[-1] for steps, _ in curves), default=0.0)
    if len(curves) < max(len(group.runs), 2) or end <= start:
        return {"x": [], "mean": [], "low": [], "high": []}
    grid = np.linspace(start, end, GRID)
    points = np.array([np.interp(grid, x, y) for x, y in curves]).T  # [GRID, runs]
    bands = [iqm_interval(values, BAND_RESAMPLES) for values in points]
    return {
        "x": [short(value) for value in grid],
        "mean": [short(iqm(values)) for values in points],
        "low": [short(low) for low, _ in bands],
        "high": [short(high) for _, high in bands],
    }
