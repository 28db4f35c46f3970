"""The way of a run: batches, evaluations, checkpoints, observers and signals, in one order."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ppo.algorithm import automatic, build
from ppo.algorithm.ahead import Ahead
from ppo.config import Config
from ppo.core import parallel
from ppo.core.errors import Diverged, Dropped, RunError, UserError
from ppo.core.signals import INTERRUPTED, SignalGuard
from ppo.insight.rules import Finding
from ppo.runs import mirror, trust
from ppo.runs.folder import RunFolder
from ppo.runs.names import results_folder
from ppo.runs.summary import RECENT_EPISODES
from ppo.training import ending, opening
from ppo.training.callback_calls import Callbacks, States
from ppo.training.callback_checks import checked, named
from ppo.training.evaluations import RunEvaluations
from ppo.training.observers import Doctor, Files, Mirroring, Report, TensorBoard
from ppo.training.settings import Settings
from ppo.training.state import Saves, differences
from ppo.training.trackers import Trackers


class Loop:
    """The loop behind `Trainer`, which holds the public methods."""

    def __init__(
        self,
        config: Config,
        results: str | Path = "training_results",
        *,
        env: Any = None,
        callbacks: Any = (),
        resume: str | Path | None = None,
        console: Any = None,
    ) -> None:
        opening.check_form(config)
        self.results, self.here = results_folder(results), Path.cwd()
        resume = mirror.local(str(resume), self.results) if resume else None
        mirror.check(config.train.mirror)
        self.folder = RunFolder.open(self.results, resume) if resume else None
        config = automatic.of_run(config, self.folder.path if self.folder else None)
        self.resumed = resume is not None
        self.initial_policy = None if resume else opening.initial_run(self.results, config.train)
        config = automatic.of_run(config, self.initial_policy, automatic.LEARNED)
        self.device = build.prepare_torch(config)
        parallel.start(self.device)
        self.ranks = parallel.world_size()
        if parallel.rank() > 0:
            self.folder = None  # rank 0 alone reads and writes it
        self.callbacks = Callbacks([*named(config.train), *checked(callbacks)])
        self.trackers = Trackers(config.logging.trackers)
        config, self.given, self._notes = opening.settle_environment(config, env, self.ranks)
        self._waiting = console.waiting if console else lambda *_: contextlib.nullcontext()
        with self._waiting("the environment takes its time: random steps show what it is like"):
            config, self.choices = automatic.chosen(config, self.given, self.device)
        self.envs, self.device, line = build.place(config, self.device, env=self.given)
        self.choices += line
        with contextlib.ExitStack() as held:  # freed at once where the rest cannot be made
            held.callback(self.envs.close)
            config = build.settled(config, self.envs)
            self.learner = build.build_learner(config, self.envs, self.device, at_once=False)
            self.evaluated = RunEvaluations(config, self.device, self.given, self._waiting)
            held.callback(self.evaluated.close)
            self.ahead = Ahead(self.learner)
            held.callback(self.ahead.close)
            self._free = weakref.finalize(self, held.pop_all().close)
        self.settings = Settings(config, self.learner)
        self.saves = Saves(self.learner, config.train.keep_checkpoints)
        self.doctor = Doctor(config)
        self.observers: list[Any] = [Report(), Files(), TensorBoard(), self.trackers, Mirroring()]
        self.observers += [console] if console else []  # last: at the end it prints their faults
        self.recent: list[float] = []
        self.events: list[str] = []  # for the next record
        self.notes: list[str] = []
        self.differs: dict[str, Any] = {}  # settings that changed, for the console
        self.evaluation_due = False
        self.begun = False  # whether the learner has a state to go on from
        self.opened = False
        self.whole = True  # whether the records written so far are those of the learner's state
        self.status, self.exit_status = "running", 0
        self.reason: str | None = None
        self._guard: SignalGuard | None = None  # while it trains
        self._recalled: list[dict[str, Any]] | None = None  # the doctor's findings of before
        self._stop: str | None = None  # why a callback ends the run

    @property
    def config(self) -> Config:
        """The settings in force."""
        return self.settings.config

    @property
    def findings(self) -> list[Finding]:
        """What the doctor has found so far; in the first process."""
        return self.doctor.findings

    @property
    def evaluations(self) -> list[dict[str, Any]]:
        """What evaluations.json holds."""
        return self.evaluated.rows

    def _run(self, end: Callable[[], Callable[[], bool]]) -> dict[str, Any]:
        """Trains until the end, which is computed once the first batch is known."""
        self.status, self.exit_status, self.reason, self._stop = "running", 0, None, None
        with SignalGuard(self.config.train.grace_seconds) as self._guard:
            self.learner.grace = self._guard.grace
            try:
                self._open()
                self._loop(end(), self._guard)
            except Dropped:
                self.begun = False  # what it did of a batch is undone by loading the checkpoint
                self.status, self.exit_status = "interrupted", self._agree(self._guard)[0]
            except Diverged as error:
                self._fail(error)
                raise Diverged(ending.diagnosis(error, self.folder, self.doctor)) from error
            except Exception as error:
                self._fail(error)
                raise
            finally:
                try:
                    summary = self._close()
                finally:
                    self._guard = None
        return summary

    def _fail(self, error: BaseException) -> None:
        self.status, self.exit_status = "failed", getattr(error, "exit_status", 1)
        self.reason = str(error).splitlines()[0] if str(error) else repr(error)

    def _loop(self, is_over: Callable[[], bool], guard: SignalGuard) -> None:
        self._evaluate_if_due(guard)  # the evaluation that an interruption left out
        while self._stop is None and not is_over():
            self.ahead.before_batch(self.learner.grace)
            before = self.learner.counters["env_steps"]
            record = self.learner.step()
            record["events"] = [*self.events, *record["events"]]
            self.whole, self.events = False, []
            fault = self._write(record)
            self.whole = True
            if fault is not None:
                raise fault
            if self._after_batch(guard, before):
                break
        if self.status == "running":
            self.status, self.reason = "finished", self._stop

    def _after_batch(self, guard: SignalGuard, before: int) -> bool:
        """Evaluation and checkpoint where they are due; whether to end.

        Args:
            before: steps of the run before the batch, which takes more where it is tried again.
        """
        batch, interval = self.learner.counters["batch"], self.config.evaluation.interval
        on_time = bool(interval) and batch % interval == 0
        reached = before < self.config.train.total_timesteps <= self.learner.counters["env_steps"]
        evaluates = self.config.evaluation.env != "off"
        due = self.evaluation_due = evaluates and (on_time or reached)
        self._evaluate_if_due(guard)
        exit_status, save_requested, stopped = self._agree(guard)
        if stopped and evaluates and not due:
            self.evaluation_due = True
            self._evaluate_if_due(guard)
        regular = batch % self.config.train.checkpoint_interval == 0
        if regular or save_requested:
            self._save(regular)
        if exit_status:
            self.status, self.exit_status = "interrupted", exit_status
        return bool(exit_status) or stopped

    def _agree(self, guard: SignalGuard) -> tuple[int, bool, bool]:
        """Exit status, whether to save, and whether a callback ends the run: equal on all ranks."""
        wishes = [guard.exit_status, guard.take_save_request(), self._stop is not None]
        exit_status, save, stopped = parallel.largest(wishes, self.device)
        if stopped and self._stop is None:
            self._stop = "stopped by a callback of another process"
        return int(exit_status), bool(save), bool(stopped)

    # ---- what is around a batch

    def _open(self) -> None:
        trust.remember(self.config)
        goes_on = self.begun
        states = self.callbacks.state() if goes_on else None
        if not goes_on and (self.resumed or self.opened):
            states = self._load()
        limits = [*self._notes, *opening.limits(self.envs, self.config)]
        if states is None:
            events = [*self.envs.notes, *limits]
            events += opening.adopt_policy(self.learner, self.config, self.initial_policy)
            with self._waiting("the environment takes its time: first steps for the statistics"):
                self.events = [*events, *self.learner.start(), *self.events]
        self.begun = True
        with parallel.together(self.device):
            if parallel.rank() == 0:
                base = self.settings.base
                self.folder, self.differs, changes = opening.open_folder(
                    self.folder, self.results, base, self.learner, self.here, self.given
                )
                self.events += changes
                if not goes_on:
                    self.doctor.recall(self.folder, self._recalled)
                before = self.learner.counters["batch"] - self.evaluation_due
                self.evaluated.load(self.folder, before)
                anew = ["the run had no checkpoint yet: it begins again with batch 0"]
                self.notes = anew if self.resumed and states is None else []
                self.notes += self.choices if states is None else []
                self.notes += [*self.folder.warnings, *(limits if states and not goes_on else [])]
                self._tell("on_start")
        self.opened = True
        self.events += self.callbacks.begin(self, self._guard, states)

    def _tell(self, event: str, *args: Any) -> None:
        for observer in self.observers if self.folder is not None else ():
            if method := getattr(observer, event, None):
                method(self, *args)

    def _ask(self, event: str, *args: Any) -> BaseException | None:
        return self.callbacks.ask(self, self._guard, event, *args)

    def _write(self, record: dict[str, Any]) -> BaseException | None:
        """The doctor, the callbacks, then the files; returns what a callback raised."""
        rows = self.learner.finished
        if rows is not None:
            self.recent = [*self.recent, *rows.returns.tolist()][-RECENT_EPISODES:]
        if self.folder is not None:
            self.doctor.on_batch(self, record)
        fault = self._ask("on_batch", record)
        self._tell("on_batch", record)
        return fault

    def _evaluate_if_due(self, guard: SignalGuard) -> None:
        """Rank 0 plays the policy; one that a stop does not wait for is done on resume."""
        if not self.evaluation_due:
            return
        best, done, earlier_best = False, True, self.evaluated.best
        if self.folder is not None:
            try:
                with guard.grace.during("evaluation"):
                    best = self.evaluated.play(self.learner, guard.grace)
                    self.events += self.evaluated.notes
                    self._tell("on_evaluation", self.evaluated.rows[-1])
            except Dropped:
                done = False
        self.evaluation_due = parallel.any_(not done, self.device)
        rows = self.evaluated.rows[-1:] or [{}]
        fault = None if self.evaluation_due else self._ask("on_evaluation", rows[0])
        if parallel.any_(best, self.device):
            try:
                self._save(regular=True, best=True)
            except BaseException:  # on resume it is found, and saved, again
                self.evaluated.best, self.evaluation_due = earlier_best, True
                raise
        if fault is not None:
            raise fault

    def _save(self, regular: bool, best: bool = False) -> None:
        """Every rank takes part; `regular`: a run that is never interrupted saves here too."""
        with parallel.together(self.device):
            states, tensors = self.callbacks.state()
        meta = {
            "recent": self.recent,
            "best": self.evaluated.best,
            "evaluation_seconds": self.evaluated.seconds,
            "events": self.events,
            "evaluation_due": self.evaluation_due,
            "moved": self.settings.state(),
            "stop": self._stop,
            "findings": self.doctor.state(),
            "callbacks": states,
        }
        path = self.saves.save(self.folder, meta, tensors, regular, best)
        self._tell("on_checkpoint", path)
        fault = self._ask("on_checkpoint", path)
        if fault is not None:
            raise fault

    def _load(self) -> States | None:
        """Go to where the run stopped; the callbacks' states, None where it has no checkpoint."""
        loaded = self.saves.load(self.folder)
        if loaded is None:
            return None
        found, tensors = loaded
        meta = found.meta
        self.recent, self.evaluated.best = meta["recent"], meta["best"]
        self.evaluated.seconds = meta.get("evaluation_seconds", 0.0)
        self.evaluation_due = meta.get("evaluation_due", False)
        self._stop = meta.get("stop")
        self.events = [*meta.get("events", []), *found.rejected]
        self.events += differences(found, self.learner)
        self.events += self.settings.load(meta.get("moved", {}))
        self._recalled = meta.get("findings")
        return meta.get("callbacks", {}), tensors

    def _close(self) -> dict[str, Any]:
        """Saves, records how it ended, frees what is not for later. The first fault is raised."""
        try:
            # After a failure on one rank the others may never answer.
            if self.opened and self.whole and not (self.status == "failed" and self.ranks > 1):
                self._save(regular=False)
        except (OSError, RunError, UserError, Diverged) as error:
            if self.status != "failed":
                self._fail(error)
                raise
        finally:
            if self.status == "failed":
                self._free()
            try:
                summary = self._end() if self.opened else self._how()
            finally:
                if self.folder is not None:
                    self.folder.release()
        return summary

    def _end(self) -> dict[str, Any]:
        summary, failed = self._summarize(), self.status == "failed"
        fault = self.callbacks.tell("on_end", self, summary)
        if isinstance(fault, KeyboardInterrupt) and not failed:
            self.status, self.exit_status, fault = "interrupted", INTERRUPTED, None
            summary = self._summarize()
        elif fault is not None and not failed:
            self._fail(fault)
            summary = self._summarize()
        self._tell("on_end", summary)
        if fault is not None and not failed:
            raise fault
        return summary

    def _how(self) -> dict[str, Any]:
        """How it ended: all that there is to say without a run folder."""
        return {"status": self.status, "exit_status": self.exit_status, "reason": self.reason}

    def _summarize(self) -> dict[str, Any]:
        """What summary.json holds; how it ended alone where this process has no folder."""
        if self.folder is None:
            return self._how()
        return ending.summarize_run(
            self.folder, self._how(), self.recent, self.evaluated, self.learner, self.doctor
        )
