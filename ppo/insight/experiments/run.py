"""Grids of settings x seeds: independent runs in parallel processes, resumable, then compared.

An experiment is a folder: `experiment.json` holds what was asked for, `jobs/0001/` one run each
with its output, and the results are written beside them. Nothing else is remembered: which job is
done is read from its run folder, so that a kill at any instant loses nothing. The same command
again continues the experiment: finished jobs are left alone, half-done runs are resumed.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from ppo.core.errors import UserError
from ppo.insight.experiments import launchers
from ppo.insight.experiments.grid import Job, Plan, parse_axis, validate
from ppo.insight.experiments.held import held
from ppo.insight.experiments.launchers.base import LOST, RESTARTS, Launcher
from ppo.runs import files
from ppo.runs.folder import RunFolder
from ppo.runs.metrics_file import finite, last_record
from ppo.runs.names import results_folder, run_names, take_number

STATE = "experiment.json"
IDENTITY = "identity"  # its entry that names the plan
EXPERIMENT = "--experiment"  # the last flag of a job's command line
POLL = 0.2  # seconds between two looks at the running jobs
NODE_LOST = "its node was lost"  # last in the output of a job that has not failed itself


@dataclass
class Outcome:
    """Where one job stands."""

    job: Job
    folder: Path
    status: str  # waiting, running, finished, failed, interrupted, killed, unknown
    run: Path | None = None
    error: str = ""


@dataclass
class Experiment:
    """A plan in its folder."""

    folder: Path
    plan: Plan
    runs: list[Outcome] = field(default_factory=list)

    @cached_property
    def identity(self) -> str:
        """Of the plan; the command line of each run has it."""
        return identity_in(self.folder, IDENTITY) or self.plan.identity()

    def outcomes(self) -> list[Outcome]:
        """Every job, read from its run folder."""
        return [self.outcome(job) for job in self.plan.jobs()]

    def outcome(self, job: Job) -> Outcome:
        """One job, read from its run folder."""
        folder = self.folder / "jobs" / f"{job.number:04d}"
        names = [name for name in run_names(folder) if self._is_of(job, folder / name)]
        if not names:
            status, error = _standing(folder, "failed" if _last_error(folder) else "waiting")
            return Outcome(job, folder, status, None, error)
        # A process whose parent was killed may still have made a folder beside a finished run's.
        runs = [RunFolder.open(folder, name) for name in names]
        run = next((run for run in reversed(runs) if run.status() == "finished"), runs[-1])
        status = "running" if run.is_alive() else run.status()
        run.release()
        status, error = _standing(folder, status)
        return Outcome(job, folder, status, run.path, error)

    def _is_of(self, job: Job, run: Path) -> bool:
        """Whether this plan made the run: another one's is not reported, nor gone on with."""
        try:
            told = (run / "command.txt").read_text(encoding="utf-8", errors="surrogateescape")
            words = shlex.split(told)
        except (OSError, ValueError):
            return True  # killed before it had one: there is nothing in it
        if EXPERIMENT in words:
            return words[-1] == self.identity
        own = _settings(self, job)
        return words[-len(own) :] == own

    def finished(self) -> list[Path]:
        """The runs that there is something to compare of."""
        return [o.run for o in self.outcomes() if o.run is not None and last_record(o.run)]


def _standing(folder: Path, status: str) -> tuple[str, str]:
    """The status of a job and the reason: one that was lost with its node has not failed."""
    error = _last_error(folder) if status in ("failed", "killed") else ""
    if error == NODE_LOST:
        return "killed", error
    return status, error if status == "failed" else ""


def _last_error(folder: Path) -> str:
    """The last line that the job's process wrote about its failure."""
    try:
        lines = (folder / "output.txt").read_text(errors="replace").splitlines()
    except OSError:
        return ""
    marked = [line for line in lines if "error" in line.lower()]
    return marked[-1].removeprefix("error: ")[:200] if marked else ""


def open_experiment(plan: Plan, results: str | os.PathLike[str], fresh: bool = False) -> Experiment:
    """The experiment of this plan in the results folder: the newest one, or a new folder.

    Raises:
        UserError: a setting of the plan is not valid, or no folder can be made.
    """
    validate(plan)
    content = {IDENTITY: plan.identity(), **asdict(plan)}
    return Experiment(folder_of(content, IDENTITY, results_folder(results), fresh), plan)


def folder_of(content: dict[str, Any], key: str, root: Path, fresh: bool) -> Path:
    """The newest experiment that was asked for in the same way, or a new one.

    Args:
        content: what was asked for, and under `key` a digest of it.
        fresh: take a new one in any case.

    Raises:
        UserError: no folder can be made.
    """
    for folder in [] if fresh else sorted(root.glob("experiment*"), reverse=True):
        if identity_in(folder, key) == content[key]:
            return folder
    try:
        root.mkdir(parents=True, exist_ok=True)
        folder = take_number(root, "experiment")
        files.atomic_write(folder / STATE, json.dumps(finite(content), indent=2).encode())
    except OSError as error:
        raise UserError(f"{root}: cannot create an experiment there ({error.strerror})") from error
    return folder


def identity_in(folder: Path, key: str) -> str:
    """The digest that an experiment's folder holds under `key`; "" where it holds none."""
    try:
        content = json.loads((folder / STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return str(content.get(key, "")) if isinstance(content, dict) else ""


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
    with _orderly_stop(), held(experiment.folder):
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


def command(experiment: Experiment, outcome: Outcome) -> list[str]:
    """The command line that trains one job, or goes on with its half-done run."""
    parts = [sys.executable, "-m", "ppo", "--mode", "train", "--quiet"]
    parts += ["--results", str(outcome.folder)]
    if outcome.run is not None and _has_checkpoint(outcome.run):
        plan, settings = experiment.plan, outcome.job.settings
        return [*parts, *going_on(outcome.run, plan.config, [*plan.overrides, *settings])]
    return [*parts, *_settings(experiment, outcome.job), EXPERIMENT, experiment.identity]


def going_on(run: Path, config: str | None, settings: Sequence[str]) -> list[str]:
    """The flags that go on with a half-done run of an experiment.

    Args:
        config, settings: as the user gave them to the experiment.
    """
    trust = ["--trust"] if _names_all_code(run, config, settings) else []
    return ["--resume", run.name, *trust]


def _names_all_code(run: Path, config: str | None, settings: Sequence[str]) -> bool:
    """Whether a run's configuration names code, and all of it the experiment names too, which is
    given by the user; the machine where the job runs may have another state folder."""
    from ppo.config import Config
    from ppo.config.words import named_code

    try:
        found = named_code(Config.load_run(run / "config.yaml")[0])
        given = Config.load(config, overrides=settings)
    except UserError:
        return False
    return bool(found) and set(found) <= set(named_code(given))


def _settings(experiment: Experiment, job: Job) -> list[str]:
    """The part of a job's command line that determines what is trained."""
    parts = []
    if experiment.plan.config is not None:
        parts += ["--config", str(experiment.plan.config)]
    for setting in (*experiment.plan.overrides, *job.settings):
        parts += ["--set", setting]
    return [*parts, "--seed", str(job.seed)]


def _has_checkpoint(run: Path) -> bool:
    """A run that was killed before its first checkpoint is begun again, under the next number."""
    try:
        return any(entry.is_file() for entry in os.scandir(run / "checkpoints"))
    except OSError:
        return False


def _start(experiment: Experiment, outcome: Outcome, launcher: Launcher) -> Any:
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
                now.status = "failed"
                now.error = now.error or f"the process ended with status {status}"
                if status == LOST:
                    now.status, now.error = "killed", NODE_LOST
                _note_failure(now)
        outcomes[place] = now
    return again


def _note_failure(outcome: Outcome) -> None:
    """For the next start: a process that was killed leaves no record itself."""
    with (outcome.folder / "output.txt").open("a", encoding="utf-8") as file:
        file.write(f"error: {outcome.error}\n")


@contextmanager
def _orderly_stop() -> Iterator[None]:
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
    if seeds < 1:
        raise UserError(f"--seeds: {seeds}; allowed: 1 or more")
    if jobs < 0:
        raise UserError(f"--jobs: {jobs}; allowed: 0 (as many as there is room for) or more")
    start = 1 if first_seed is None else first_seed
    place = None if config is None else str(Path(config).resolve())
    if place is None and Path("config.yaml").exists():
        place = str(Path("config.yaml").resolve())
    plan = Plan(parsed, design, tuple(range(start, start + seeds)), place, tuple(overrides))
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
