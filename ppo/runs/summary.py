"""What a run says of itself: summary.json at its end, and at its start what is new about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ppo.config import Config
from ppo.core.errors import UserError
from ppo.runs.folder import RunFolder, run_names


def summarize(
    *,
    status: str,
    exit_status: int,
    reason: str | None,
    final_return: float | None,
    interval: Sequence[float | None],
    best: dict[str, Any] | None,
    counters: dict[str, int],
    seconds: dict[str, float],
    wall_time_s: float,
) -> dict[str, Any]:
    """Contents of summary.json, but for the doctor's verdict.

    Args:
        final_return, interval: mean and 95 % interval of the last episodes' returns.
        best: row of the best evaluation.
        seconds: spent on each part of the training.
    """
    return {
        "status": status,
        "exit_status": exit_status,
        "reason": reason,
        "final_return": final_return,
        "final_return_ci95": list(interval),
        "best_return": best["mean_return"] if best else None,
        "best_evaluation": best,
        "batches": counters["batch"],
        "env_steps": counters["env_steps"],
        "episodes": counters["episodes"],
        "wall_time_s": wall_time_s,
        "time": seconds,
        "verdict": None,
        "findings": [],
    }


def changed_settings(config: Config, folder: RunFolder) -> dict[str, Any]:
    """The settings that differ from those of the run before this one."""
    results = folder.path.parent
    earlier = [name for name in run_names(results) if name < folder.name]
    if not earlier:
        return {}
    try:
        before = Config.load_run(results / earlier[-1] / "config.yaml")[0].to_dict()
    except UserError:  # written by another version: nothing to compare with
        return {}
    changes = [
        f"{section}.{key} {before[section].get(key)} -> {value}"
        for section, values in config.to_dict().items()
        for key, value in values.items()
        if before[section].get(key) != value
    ]
    return {"previous": earlier[-1], "differs": changes} if changes else {}
