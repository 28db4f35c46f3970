"""The end of a run: what summary.json holds, and what an error says of the batches before it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ppo.algorithm.learner import Learner
from ppo.core import program
from ppo.core.errors import Diverged
from ppo.functional.bootstrap import mean_interval
from ppo.runs.files import from_here
from ppo.runs.folder import RunFolder
from ppo.runs.metrics_file import finite
from ppo.runs.names import to_type
from ppo.training.evaluations import RunEvaluations
from ppo.training.observers import Doctor


def diagnosis(error: Diverged, folder: RunFolder | None, doctor: Doctor) -> str:
    """The error with what the doctor makes of the batches before it."""
    lines = [str(error)]
    if folder is not None:
        verdict = doctor.judge(folder)
        findings = verdict.findings[:2] if verdict else []
        lines += [f"{finding.illness}: {finding.remedy}" for finding in findings]
        run = to_type(folder.name, from_here(folder.path))
        lines.append(f"more: {program.command('diagnose', run)}")
    return "\n".join(lines)


def summarize_run(
    folder: RunFolder,
    how: dict[str, Any],
    recent: list[float],
    evaluated: RunEvaluations,
    learner: Learner,
    doctor: Doctor,
) -> dict[str, Any]:
    """The summary of a run, which is also written to its folder.

    Args:
        how: status, exit_status and reason. recent: returns of the last episodes.
    """
    returns, best, counters = np.asarray(recent), evaluated.best, learner.counters
    summary = {
        **how,
        "final_return": float(returns.mean()) if len(returns) else None,
        "final_return_ci95": list(mean_interval(returns, 0)),
        "best_return": best["mean_return"] if best else None,
        "best_evaluation": best,
        "batches": counters["batch"],
        "env_steps": counters["env_steps"],
        "episodes": counters["episodes"],
        "wall_time_s": learner.wall_time,
        "time": {**learner.timing, "evaluation": evaluated.seconds},
        "verdict": None,
        "findings": [],
    }
    written = folder.set_status(**summary)
    verdict = doctor.judge(folder)  # reads the disk: late, since it takes time
    if verdict is not None:
        summary["verdict"] = verdict.status
        summary["findings"] = [finding.illness for finding in verdict.findings]
        written = folder.set_status(**summary)
    return finite(written)
