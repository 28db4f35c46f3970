"""An experiment's folder: what was asked for, where each job stands, and how it is trained.

`experiment.json` holds what was asked for, `jobs/0001/` one run each with its output, and the
results are written beside them. Nothing else is remembered: which job is done is read from its run
folder, so that a kill at any instant loses nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ppo.core.errors import UserError, one_line
from ppo.insight.experiments.grid import Job, Plan, validate
from ppo.insight.logs import read_summary
from ppo.runs import files
from ppo.runs.folder import RunFolder
from ppo.runs.metrics_file import finite
from ppo.runs.names import results_folder, run_names, take_number

STATE = "experiment.json"
IDENTITY = "identity"  # its entry that names the plan
EXPERIMENT = "--experiment"  # the last flag of a job's command line
LONGEST = 200  # characters of an error
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
        runs = [RunFolder(folder / name) for name in names]
        run = next((run for run in reversed(runs) if run.status() == "finished"), runs[-1])
        status = "running" if run.is_alive() else run.status()
        reason = one_line(str(read_summary(run.path).get("reason") or ""))[:LONGEST]
        status, error = _standing(folder, status, reason)
        return Outcome(job, folder, status, run.path, error)

    def asked(self, job: Job) -> tuple[str | None, list[str], int]:
        """What determines a job: configuration file, settings and seed."""
        return self.plan.config, [*self.plan.overrides, *job.settings], job.seed

    def _is_of(self, job: Job, run: Path) -> bool:
        """Whether this plan made the run: another one's is not reported, nor gone on with."""
        try:
            told = (run / "command.txt").read_text(encoding="utf-8", errors="surrogateescape")
            words = shlex.split(told)
        except (OSError, ValueError):
            return True  # killed before it had one: there is nothing in it
        if EXPERIMENT in words:
            return words[-1] == self.identity
        own = _determining(*self.asked(job))
        return words[-len(own) :] == own


def _standing(folder: Path, status: str, reason: str = "") -> tuple[str, str]:
    """The status of a job and why: one that was lost with its node has not failed.

    Args:
        reason: that its run gives.
    """
    error = _last_error(folder) if status in ("failed", "killed") else ""
    if error == NODE_LOST:
        return "killed", error
    return status, (reason or error) if status == "failed" else ""


def _last_error(folder: Path) -> str:
    """The last line that the job's process wrote about its failure."""
    try:
        lines = (folder / "output.txt").read_text(errors="replace").splitlines()
    except OSError:
        return ""
    marked = [line for line in lines if "error" in line.lower()]
    return marked[-1].removeprefix("error: ")[:LONGEST] if marked else ""


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


def command(experiment: Experiment, outcome: Outcome) -> list[str]:
    """The command line that trains one job, or goes on with its half-done run."""
    identity = (EXPERIMENT, experiment.identity)
    asked = experiment.asked(outcome.job)
    return train_command(outcome.folder, outcome.run, *asked, identity)


def train_command(
    place: Path,
    run: Path | None,
    config: str | None,
    settings: Sequence[str],
    seed: int,
    identity: Sequence[str] = (),
) -> list[str]:
    """The command line that trains a run in `place`, or goes on with a half-done one.

    Args:
        config, settings: as the user gave them to the experiment.
        identity: what the line of a new run ends with.
    """
    parts = [sys.executable, "-m", "ppo", "--mode", "train", "--quiet", "--results", str(place)]
    if run is None or not has_checkpoint(run):
        return [*parts, *_determining(config, settings, seed), *identity]
    trust = ["--trust"] if _names_all_code(run, config, settings) else []
    return [*parts, "--resume", run.name, *trust]


def _determining(config: str | None, settings: Sequence[str], seed: int) -> list[str]:
    """The part of a command line that determines what is trained."""
    parts = [] if config is None else ["--config", config]
    for setting in settings:
        parts += ["--set", setting]
    return [*parts, "--seed", str(seed)]


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


def has_checkpoint(run: Path) -> bool:
    """A run that was killed before its first checkpoint is begun again, under the next number."""
    try:
        entries = [entry.name for entry in os.scandir(run / "checkpoints") if entry.is_file()]
    except OSError:
        return False
    return any(not files.TEMPORARY.fullmatch(name) for name in entries)  # half written: none


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Holds an experiment's folder, until the end or the death of this process.

    Raises:
        UserError: another process has it; two would start each job twice.
    """
    descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"{files.shown(folder)} is being run by {files.lock_owner(descriptor)}; wait for "
                "it, or start a new one with --fresh"
            ) from None
        except OSError:
            pass  # no locks on this file system
        files.own_lock(descriptor)
        yield
    finally:
        os.close(descriptor)


def note_failure(outcome: Outcome, error: str) -> None:
    """For the next start: a process that was killed leaves no record itself.

    Raises:
        RunError: it cannot be written.
    """
    outcome.error = error
    with files.reporting(outcome.folder, "write output.txt"):
        with (outcome.folder / "output.txt").open("a", encoding="utf-8") as file:
            file.write(f"error: {error}\n")
