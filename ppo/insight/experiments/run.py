"""Grids of settings x seeds: independent runs in parallel processes, resumable.

The same command again continues the experiment: finished jobs are left alone, half-done runs are
resumed.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ppo.core.errors import UserError
from ppo.insight.experiments import launchers
from ppo.insight.experiments.experiment import (
    NODE_LOST,
    Experiment,
    Outcome,
    command,
    held,
    note_failure,
    open_experiment,
)
from ppo.insight.experiments.grid import Plan, check_jobs, file_of, parse_axis, seeds_of
from ppo.insight.experiments.launchers.base import LOST, RESTARTS, Launcher
from ppo.runs import files

POLL = 0.2  # seconds between two looks at the running jobs
Watcher = Callable[[list[Outcome]], None]


def run_experiment(
    experiment: Experiment,
    launcher: Launcher | None = None,
    jobs: int = 1,
    watch: Watcher | None = None,
    retry_failed: bool = False,
    restarts: int = RESTARTS,
) -> list[Outcome]:
    """Trains what is not trained yet, `jobs` at a time; returns where every job stands then.

    A job that fails is left failed and the others go on; one that is lost with its node is started
    again, as often as `restarts`, and resumes. On Ctrl-C or SIGTERM the running ones are
    told to save and stop, and KeyboardInterrupt (SystemExit 143) goes on its way.

    Raises:
        UserError: another process runs it.
    """
    launcher = launcher or launchers.make("local")
    outcomes = experiment.outcomes()
    waiting = [o.job.number for o in outcomes if _is_due(o, retry_failed)]
    running: dict[int, Any] = {}
    left = dict.fromkeys(waiting, restarts)
    with orderly_stop(), held(experiment.folder):
        try:
            while waiting or running:
                for number in list(waiting):
                    if len(running) >= max(jobs, 1):
                        break
                    if not _is_free(experiment, outcomes, number):
                        continue
                    waiting.remove(number)
                    lost = left[number] < restarts  # whatever its output holds, it has not failed
                    if _is_due(outcomes[number - 1], retry_failed or lost):
                        running[number] = _start(experiment, outcomes[number - 1], launcher)
                        outcomes[number - 1].status = "running"
                for number in _collect(experiment, outcomes, running, launcher, left):
                    waiting.append(number)
                if watch is not None:
                    watch(outcomes)
                time.sleep(POLL if running or waiting else 0)
        except BaseException:
            for handle in running.values():
                launcher.stop(handle)
            for handle in running.values():
                launcher.wait(handle)
            raise
    return experiment.outcomes()


def _is_free(experiment: Experiment, outcomes: list[Outcome], number: int) -> bool:
    """Whether no process is at work on a job: one may still save for a parent that was killed."""
    outcomes[number - 1] = experiment.outcome(outcomes[number - 1].job)
    return outcomes[number - 1].status != "running"


def _is_due(outcome: Outcome, retry_failed: bool) -> bool:
    return outcome.status != "finished" and (retry_failed or outcome.status != "failed")


def _start(experiment: Experiment, outcome: Outcome, launcher: Launcher) -> Any:
    with files.reporting(outcome.folder, "start a job there"):
        outcome.folder.mkdir(parents=True, exist_ok=True)
        return launcher.start(command(experiment, outcome), outcome.folder / "output.txt")


def _collect(
    experiment: Experiment,
    outcomes: list[Outcome],
    running: dict[int, Any],
    launcher: Launcher,
    left: dict[int, int],
) -> list[int]:
    """Takes note of the jobs that have ended, and of the run folders of those that have not.

    Args:
        left: how often each may still be started again.

    Returns:
        The jobs to start again.
    """
    again = []
    for place, outcome in enumerate(outcomes):
        number = outcome.job.number
        if number not in running:
            continue
        status = launcher.poll(running[number])
        now = experiment.outcome(outcome.job)
        if status is None:
            now.status = "running"
        else:
            del running[number]
            if now.status != "finished" and status == LOST and left[number]:
                left[number] -= 1
                now.status = "waiting"
                again.append(number)
            elif now.status != "finished":
                now.status = "killed" if status == LOST else "failed"
                if status == LOST:
                    note_failure(now, NODE_LOST)
                elif not now.error:
                    note_failure(now, f"the process ended with status {status}")
        outcomes[place] = now
    return again


@contextmanager
def orderly_stop() -> Iterator[None]:
    """SIGTERM raises SystemExit 143 within, where this is the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(*_: Any) -> None:
        raise SystemExit(143)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def run_grid_of(
    axes: Sequence[str],
    design: str = "full",
    *,
    seeds: int = 3,
    first_seed: int | None = None,
    config: str | os.PathLike[str] | None = None,
    overrides: Sequence[str] = (),
    results: str | os.PathLike[str] = "training_results",
    jobs: int = 0,
    launcher: str = "local",
    address: str = "auto",
    gpus_per_job: float = 0.0,
    restarts: int = RESTARTS,
    fresh: bool = False,
    retry_failed: bool = False,
    quiet: bool = False,
    watch: Watcher | None = None,
) -> tuple[Experiment, list[Outcome]]:
    """Plans, trains or continues a grid; `jobs` 0 is what the machine or cluster has room for.

    Raises:
        UserError: an axis or a setting is not valid; all of them are named.
    """
    parsed = tuple(parse_axis(axis) for axis in axes)
    keys = [axis.key for axis in parsed]
    if len(set(keys)) < len(keys):
        raise UserError(f"the same setting twice: {', '.join(keys)}")
    if "system.seed" in keys:
        raise UserError("system.seed is varied by --seeds N")
    check_jobs(jobs)
    plan = Plan(parsed, design, seeds_of(seeds, first_seed), file_of(config), tuple(overrides))
    if restarts < 0:
        raise UserError(f"--restarts: {restarts}; allowed: 0 or more")
    chosen = launchers.make(launcher, address, gpus_per_job)  # before a folder is made
    experiment = open_experiment(plan, results, fresh)
    if not quiet:
        total = len(plan.jobs())
        print(
            f"{files.from_here(experiment.folder)}: {total} runs of {total // seeds} settings",
            file=sys.stderr,
        )
    count = jobs or chosen.capacity()
    return experiment, run_experiment(experiment, chosen, count, watch, retry_failed, restarts)
