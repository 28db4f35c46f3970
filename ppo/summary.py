"""What a run says of itself: summary.json at its end, and at its start what is new about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ppo.config import Config
from ppo.errors import UserError
from ppo.evaluation import bootstrap_interval
from ppo.run_folder import RunFolder, run_names

if TYPE_CHECKING:
    from ppo.loop import Trainer


def summarize(trainer: Trainer) -> dict[str, Any]:
    """Status, returns, counters and seconds."""
    returns = np.asarray(trainer.recent)
    interval = bootstrap_interval(returns, 0) if len(returns) else (None, None)
    findings = trainer.watch.findings if trainer.watch else []
    learner, best = trainer.learner, trainer.evaluated.best
    return {
        "status": trainer.status,
        "exit_status": trainer.exit_status,
        "reason": trainer.reason,
        "final_return": float(returns.mean()) if len(returns) else None,
        "final_return_ci95": list(interval),
        "best_return": best["mean_return"] if best else None,
        "best_evaluation": best,
        "batches": learner.counters["batch"],
        "env_steps": learner.counters["env_steps"],
        "episodes": learner.counters["episodes"],
        "wall_time_s": learner.wall_time,
        "time": {**learner.timing, "evaluation": trainer.evaluated.seconds},
        "findings": [finding.illness for finding in findings],
    }


def changed_settings(config: Config, folder: RunFolder) -> dict[str, Any]:
    """The settings that differ from those of the run before this one."""
    results = folder.path.parent
    earlier = [name for name in run_names(results) if name < folder.name]
    if not earlier:
        return {}
    try:
        before = Config.load(results / earlier[-1] / "config.yaml").to_dict()
    except UserError:  # written by another version: nothing to compare with
        return {}
    changes = [
        f"{section}.{key} {before[section].get(key)} -> {value}"
        for section, values in config.to_dict().items()
        for key, value in values.items()
        if before[section].get(key) != value
    ]
    return {"previous": earlier[-1], "differs": changes} if changes else {}
