"""Grids of settings x seeds: independent runs in parallel processes, resumable.

The same command again continues the experiment: finished jobs are left alone, half-done runs are
resumed.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ppo.insight.experiments import launchers
from ppo.insight.experiments.experiment import (
    NODE_LOST,
    Experiment,
    Outcome,
    command,
    held,
    note_failure,
)
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
