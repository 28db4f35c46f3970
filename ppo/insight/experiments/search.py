"""Searching settings with Optuna: trials in parallel processes, pruned, resumable.

A search is an experiment's folder: `experiment.json` holds what was asked for, `study.journal`
Optuna's trials, `jobs/0007/seed1/` the runs of trial 7. A trial trains its seeds one after the
other; the first is compared with those of other trials at ten moments, and a trial that is below
their median, or whose run the doctor finds lost, is pruned: its run ends with status `pruned`. The
same command again goes on: running trials resume their runs.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ppo.core.errors import UserError
from ppo.insight.doctor import judge
from ppo.insight.experiments import launchers
from ppo.insight.experiments.experiment import folder_of, has_checkpoint, held, train_command
from ppo.insight.experiments.grid import as_typed
from ppo.insight.experiments.launchers.base import LOST, RESTARTS, Launcher
from ppo.insight.experiments.run import orderly_stop
from ppo.insight.experiments.space import Dimension
from ppo.insight.experiments.study import open_storage, open_study, optuna_of, running
from ppo.insight.logs.own import read_records, read_summary
from ppo.insight.rules import FATAL
from ppo.runs import files
from ppo.runs.folder import RunFolder
from ppo.runs.metrics_file import last_record
from ppo.runs.names import results_folder, run_names

MOMENTS = 10  # of a run at which trials are compared
POLL = 0.5  # seconds between two looks at the running trials
LAST = 0.1  # share of a run whose mean return is its score
DIVERGED = 4  # exit status
BEST = "best.yaml"


@dataclass(frozen=True)
class Search:
    """What was asked for; the same again is the same search."""

    space: tuple[Dimension, ...]
    trials: int
    seeds: tuple[int, ...]
    config: str | None
    overrides: tuple[str, ...]

    def identity(self) -> str:
        """A digest of what makes two searches one; more trials go on with it."""
        text = "" if self.config is None else Path(self.config).read_text(encoding="utf-8")
        content = asdict(self) | {"trials": None}
        return hashlib.sha256(json.dumps([content, text]).encode()).hexdigest()[:16]

    def load(self, settings: list[str]) -> Any:
        """The configuration of these settings.

        Raises:
            UserError: it is not valid.
        """
        from ppo.config import Config

        return Config.load(self.config, overrides=[*self.overrides, *settings])


@dataclass
class Active:
    """A trial that is going on."""

    trial: Any  # of Optuna
    settings: list[str]
    folder: Path
    scores: list[float] = field(default_factory=list)  # of its seeds so far
    handle: Any = None
    restarts: int = RESTARTS  # that are left
    reached: int = 0  # tenths of its run that were looked at

    @property
    def seed_index(self) -> int:
        return len(self.scores)


def open_search(search: Search, results: Path, fresh: bool = False) -> Path:
    """The folder of this search: the newest one, or a new one.

    Raises:
        UserError: a setting is not valid, or no folder can be made; one line for each mistake.
    """
    if search.trials < 1:
        raise UserError(f"--trials: {search.trials}; allowed: 1 or more")
    keys = [dimension.key for dimension in search.space]
    if len(set(keys)) < len(keys) or "system.seed" in keys:
        raise UserError(f"--vary: each setting once, and not system.seed: {', '.join(keys)}")
    _check_ends(search)
    content = {"search": search.identity(), **asdict(search)}
    return folder_of(content, "search", results_folder(results), fresh)


def _check_ends(search: Search) -> None:
    """
    Raises:
        UserError: an end of a range is no value of its setting. What does not fit other settings
            is found in its trial.
    """
    search.load([])
    mistakes: list[str] = []
    for dimension in search.space:
        for value in dimension.ends():
            try:
                search.load([f"{dimension.key}={value}"])
            except UserError as error:
                place = f"--set {dimension.key}="
                lines = [line for line in error.messages if line.startswith(place)]
                mistakes += [as_typed(line, [f"{dimension.key}={value}"]) for line in lines]
    if mistakes:
        raise UserError(*dict.fromkeys(mistakes))


class Tuner:
    """The trials of a search.

    Args:
        folder: of the search.
        jobs: trials at a time.
        tell: shown a line for each trial that ends.
    """

    def __init__(
        self,
        search: Search,
        folder: Path,
        launcher: Launcher | None = None,
        jobs: int = 1,
        tell: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.search, self.folder, self.jobs, self.tell = search, folder, jobs, tell
        self.launcher = launcher or launchers.make("local")
        self.optuna = optuna_of()
        self.storage = open_storage(folder)
        self.study = open_study(self.optuna, self.storage, search.seeds[0])
        self.total = int(search.load([]).train.total_timesteps)

    def run(self) -> None:
        """Trains what is not trained yet. Ctrl-C saves the running trials, and goes on its way.

        Raises:
            UserError: another process runs it.
        """
        active: list[Active] = []
        with orderly_stop(), held(self.folder):
            try:
                killed = running(self.optuna, self.storage, self.study)
                while True:
                    while len(active) < self.jobs and (trial := self._next(killed)) is not None:
                        begun = self._begin(trial)
                        active += [begun] if begun is not None else []
                    if not active:
                        break
                    active = [one for one in active if not self._is_over(one)]
                    time.sleep(POLL)
            except BaseException:
                for one in active:
                    self.launcher.stop(one.handle)
                for one in active:
                    self.launcher.wait(one.handle)
                raise

    def _next(self, killed: Iterator[Any]) -> Any:
        """A trial to go on with, else a new one; None once all were asked for."""
        trial = next(killed, None)
        asked = len(self.study.get_trials(deepcopy=False))
        return self.study.ask() if trial is None and asked < self.search.trials else trial

    def _begin(self, trial: Any) -> Active | None:
        """Starts a trial, or goes on with it; None where it is over at once."""
        settings = [f"{d.key}={d.suggest(trial)}" for d in self.search.space]
        one = Active(trial, settings, self.folder / "jobs" / f"{trial.number + 1:04d}")
        try:
            self.search.load(settings)
        except UserError as error:
            self._prune(one, f"does not fit: {error.messages[0]}")
            return None
        return None if self._seeds_done(one) else one

    def _seeds_done(self, one: Active) -> bool:
        """Whether all seeds of a trial are trained, which ends it; else the next one is started."""
        while one.seed_index < len(self.search.seeds) and (run := self._finished(one)):
            one.scores.append(score(read_records(run)))
        if one.seed_index == len(self.search.seeds):
            self._complete(one)
            return True
        self._start(one)
        return False

    def _place(self, one: Active) -> Path:
        return one.folder / f"seed{self.search.seeds[one.seed_index]}"

    def _runs(self, one: Active) -> list[Path]:
        """Those of its seed, the newest first."""
        return [self._place(one) / name for name in reversed(run_names(self._place(one)))]

    def _run(self, one: Active) -> Path | None:
        return next(iter(self._runs(one)), None)

    def _finished(self, one: Active) -> Path | None:
        done = (run for run in self._runs(one) if read_summary(run).get("status") == "finished")
        return next(done, None)

    def _start(self, one: Active) -> None:
        place, run = self._place(one), self._run(one)
        if run is not None and has_checkpoint(run):
            self._wait_until_free(run)
        settings = [*self.search.overrides, *one.settings]
        seed = self.search.seeds[one.seed_index]
        command = train_command(place, run, self.search.config, settings, seed)
        with files.reporting(place, "start a run there"):
            place.mkdir(parents=True, exist_ok=True)
            one.handle = self.launcher.start(command, place / "output.txt")

    def _wait_until_free(self, run: Path) -> None:
        """The process of a search that was killed may still save."""
        for _ in range(120):
            if not RunFolder(run).is_alive():
                return
            time.sleep(POLL)

    def _is_over(self, one: Active) -> bool:
        """Looks at a running trial; whether it has ended."""
        status = self.launcher.poll(one.handle)
        reason = self._reason_to_prune(one)
        if reason:
            self.launcher.stop(one.handle)
            self.launcher.wait(one.handle)
            self._prune(one, reason)
            return True
        if status is None:
            return False
        return self._seeds_done(one) if self._finished(one) else self._failed(one, status)

    def _reason_to_prune(self, one: Active) -> str:
        """In words; empty where there is none, and until a further tenth of the run is over."""
        run = self._run(one)
        last = last_record(run) if run is not None and not one.seed_index else None
        if run is None or last is None or tenth(last, self.total) <= one.reached:
            return ""
        records = read_records(run)
        one.reached = tenth(records[-1], self.total)
        known = self.study.get_trials(deepcopy=False)[one.trial.number].intermediate_values
        new = [m for m in moments(records, self.total) if m[0] not in known]
        for moment, value in new:
            one.trial.report(value, moment)
            if one.trial.should_prune():
                return f"return {value:.4g} is below the median of other trials"
        if not new:
            return ""
        lost = [finding for finding in judge(run).findings if finding.severity == FATAL]
        return f"{lost[0].illness}: {lost[0].evidence}" if lost else ""

    def _failed(self, one: Active, status: int) -> bool:
        """Whether the trial is over for now; one that was lost with its node goes on elsewhere."""
        if status == LOST and one.restarts:
            one.restarts -= 1
            self._start(one)
            return False
        if status == LOST:  # Optuna keeps it as running: the next start goes on with it
            self._tell(one, "was lost with its node too often; the same command tries it again")
        elif status == DIVERGED:
            self._prune(one, "diverged")
        else:
            self.study.tell(one.trial, state=self.optuna.trial.TrialState.FAIL)
            output = self._place(one) / "output.txt"
            self._tell(one, f"failed with status {status}; see {output}")
        return True

    def _prune(self, one: Active, reason: str) -> None:
        one.trial.set_user_attr("reason", reason)
        one.trial.set_user_attr("steps", self._steps(one))
        self.study.tell(one.trial, state=self.optuna.trial.TrialState.PRUNED)
        if (run := self._run(one)) is not None:
            RunFolder(run).set_status("pruned", reason=reason)
        self._tell(one, f"pruned: {reason}")

    def _complete(self, one: Active) -> None:
        value = sum(one.scores) / len(one.scores)
        one.trial.set_user_attr("steps", len(self.search.seeds) * self.total)
        if math.isfinite(value):
            self.study.tell(one.trial, value)
        else:
            self.study.tell(one.trial, state=self.optuna.trial.TrialState.FAIL)
        self._tell(one, f"return {value:.4g}")

    def _steps(self, one: Active) -> int:
        run = self._run(one)
        last = last_record(run) if run is not None else None
        return int((last["env_steps"] if last else 0) + one.seed_index * self.total)

    def _tell(self, one: Active, what: str) -> None:
        self.tell(f"trial {one.trial.number + 1}: {', '.join(one.settings)}: {what}")


def score(records: list[dict[str, Any]]) -> float:
    """Mean return of the last tenth of a run, of as many batches in which episodes ended.

    NaN where none ever did.
    """
    known = [r["mean_episode_return"] for r in records if r["mean_episode_return"] is not None]
    values = known[-max(1, round(LAST * len(records))) :]
    return sum(values) / len(values) if values else math.nan


def moments(records: list[dict[str, Any]], total: int) -> list[tuple[int, float]]:
    """The mean return in each tenth of the steps that is over, by its number."""
    found: dict[int, list[float]] = {}
    for record in records:
        if record["mean_episode_return"] is not None:
            found.setdefault(tenth(record, total), []).append(record["mean_episode_return"])
    reached = tenth(records[-1], total)
    return [(n, sum(v) / len(v)) for n, v in sorted(found.items()) if n < reached]


def tenth(record: dict[str, Any], total: int) -> int:
    """How many tenths of a run's steps are over."""
    return min(MOMENTS, int(MOMENTS * record["env_steps"] / total))
