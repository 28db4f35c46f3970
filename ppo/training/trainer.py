"""Train and resume: batches, files, signals and the screen, in one order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ppo.algorithm import build
from ppo.config import Config
from ppo.core import parallel
from ppo.core.errors import Diverged, Dropped, RunError
from ppo.core.signals import SignalGuard
from ppo.policies.play import bootstrap_interval
from ppo.runs import checkpoint
from ppo.runs.folder import RunFolder
from ppo.runs.names import find_run, results_folder
from ppo.runs.summary import summarize
from ppo.training import opening
from ppo.training import state as saving
from ppo.training.evaluations import RunEvaluations
from ppo.training.observers import Doctor, Files, TensorBoard, tell

RECENT_EPISODES = 100


class Trainer:
    """A training run.

    Nothing is written before `train()`: a configuration that does not work leaves no run behind.

    Args:
        config: validated settings.
        results: folder of run folders.
        resume: a run (`run0007`, `latest`, a path) to continue exactly where it stopped.
        console: an observer that prints; none by default.

    Attributes:
        folder: of the run; None before `train`, and on all processes but the first.
        notes: what the user should know at the start, in words.
    """

    def __init__(
        self,
        config: Config,
        results: str | Path = "training_results",
        *,
        resume: str | None = None,
        console: Any = None,
    ) -> None:
        self.config, self.results, self.here = config, results_folder(results), Path.cwd()
        self.folder = RunFolder.open(self.results, resume) if resume else None
        self.resumed = resume is not None
        initial = config.train.initial_policy
        self.initial_policy = find_run(self.results, initial) if initial and not resume else None
        self.device = build.prepare_torch(config)
        parallel.start(self.device)
        self.ranks = parallel.world_size()
        if parallel.rank() > 0:
            self.folder = None  # rank 0 alone reads and writes it
        self.envs = build.build_environments(config, self.device)
        self.learner = build.build_learner(config, self.envs, self.device)
        self.recent: list[float] = []
        self.evaluated = RunEvaluations(config, self.device)
        self.events: list[str] = []  # for the next record
        self.evaluation_due = False
        self.restarted_at = -1  # batch at which environments without a state were started anew
        self.opened = False
        self.whole = True  # whether the records written so far are those of the learner's state
        self.doctor = Doctor(config)
        self.observers = [Files(), TensorBoard(), self.doctor, *([console] if console else [])]
        self.notes: list[str] = []
        self.status = "running"
        self.exit_status = 0
        self.reason: str | None = None

    @property
    def num_parameters(self) -> int:
        return self.learner.optimizer.flat.theta.numel()

    @property
    def evaluations(self) -> list[dict[str, Any]]:
        """What evaluations.json holds."""
        return self.evaluated.rows

    def train(self, batches: int | None = None) -> dict[str, Any]:
        """Train to `train.total_timesteps`, or for so many batches.

        Returns:
            The summary that is also written to summary.json.

        Raises:
            Diverged: numerical faults that rollbacks did not cure; the last good state is saved.
        """
        with SignalGuard(self.config.train.grace_seconds) as guard:
            self.learner.grace = guard.grace
            try:
                self._open()
                self._loop(batches, guard)
            except Dropped:
                self.status, self.exit_status = "interrupted", self._agree(guard)[0]
            except Diverged as error:
                self._fail(error, Diverged.exit_status)
                raise Diverged(self._diagnosis(error)) from error
            except Exception as error:
                self._fail(error, 1)
                raise
            finally:
                summary = self._close()
        return summary

    def _fail(self, error: Exception, exit_status: int) -> None:
        self.status, self.exit_status = "failed", exit_status
        self.reason = str(error).splitlines()[0] if str(error) else repr(error)

    def _diagnosis(self, error: Diverged) -> str:
        """The error with what the doctor makes of the batches before it."""
        findings = self.doctor.findings[:2]
        lines = [str(error), *(f"{finding.illness}: {finding.remedy}" for finding in findings)]
        if self.folder is not None:
            lines.append(f"more: python train_cli.py --mode diagnose {self.folder.name}")
        return "\n".join(lines)

    def _loop(self, batches: int | None, guard: SignalGuard) -> None:
        first = self.learner.counters["batch"]
        self._evaluate_if_due(guard)  # of the batch before an interruption
        while not self._is_done(batches, first):
            record = self.learner.step()
            record["events"] = [*self.events, *record["events"]]
            self.whole = False
            self._write(record)
            self.whole, self.events = True, []
            if self._after_batch(batches, guard):
                return
        self.status = "finished"

    def _is_done(self, batches: int | None, first: int) -> bool:
        counters = self.learner.counters
        if batches is not None:
            return counters["batch"] - first >= batches
        return counters["env_steps"] >= self.config.train.total_timesteps

    def _after_batch(self, batches: int | None, guard: SignalGuard) -> bool:
        """Evaluation and checkpoint where they are due; whether to stop."""
        batch, interval = self.learner.counters["batch"], self.config.evaluation.interval
        on_time = bool(interval) and batch % interval == 0
        self.evaluation_due = batches is None and (on_time or self._is_done(None, 0))
        self._evaluate_if_due(guard)
        exit_status, save_requested = self._agree(guard)
        regular = batch % self.config.train.checkpoint_interval == 0
        if regular or save_requested:
            self._save(regular)
        if exit_status:
            self.status, self.exit_status = "interrupted", exit_status
        return bool(exit_status)

    def _agree(self, guard: SignalGuard) -> tuple[int, bool]:
        """Exit status where any rank was asked to stop, and whether to save: equal on all."""
        wishes = torch.tensor([guard.exit_status, guard.take_save_request()], dtype=torch.float32)
        if parallel.is_active():
            wishes = parallel.max_(wishes.to(self.device))
        exit_status, save = wishes.tolist()
        return int(exit_status), bool(save)

    def _open(self) -> None:
        loaded = self.resumed and self._load()
        limits = opening.limits_of_resume(self.envs)
        if not loaded:
            self.events = [*self.envs.notes, *limits]
            self.events += opening.adopt_policy(self.learner, self.config, self.initial_policy)
            self.events += self.learner.start()
        with parallel.together(self.device):
            if parallel.rank() == 0:
                self.folder = opening.open_folder(
                    self.folder, self.results, self.config, self.learner, self.here
                )
                before = self.learner.counters["batch"] - self.evaluation_due
                self.evaluated.load(self.folder, before)
                anew = ["the run had no checkpoint yet: it begins again with batch 0"]
                self.notes = anew if self.resumed and not loaded else []
                self.notes += [*self.folder.warnings, *(limits if loaded else [])]
                self._tell("on_start")
        self.opened = True

    def _tell(self, event: str, *args: Any) -> None:
        if self.folder is not None:
            tell(self.observers, event, self, *args)

    def _write(self, record: dict[str, Any]) -> None:
        rows = self.learner.finished
        if rows is not None:
            self.recent = [*self.recent, *rows.returns.tolist()][-RECENT_EPISODES:]
        self._tell("on_batch", record)

    def _evaluate_if_due(self, guard: SignalGuard) -> None:
        """Rank 0 plays the policy; one that a stop does not wait for is done on resume."""
        if not self.evaluation_due:
            return
        best, done, earlier_best = False, True, self.evaluated.best
        if self.folder is not None:
            try:
                with guard.grace.during("evaluation"):
                    best = self._evaluate(guard.grace)
            except Dropped:
                done = False
        self.evaluation_due = parallel.any_(not done, self.device)
        if parallel.any_(best, self.device):
            try:
                self._save(regular=True, best=True)
            except BaseException:  # on resume it is found, and saved, again
                self.evaluated.best, self.evaluation_due = earlier_best, True
                raise

    def _evaluate(self, poll: Callable[[], None]) -> bool:
        """Whether the current policy is the best so far."""
        best = self.evaluated.play(self.learner, poll)
        self._tell("on_evaluation", self.evaluated.rows[-1])
        return best

    def _save(self, regular: bool, best: bool = False) -> None:
        """Every rank takes part; rank 0 writes.

        Args:
            regular: a run that is never interrupted saves here too.
        """
        batch = self.learner.counters["batch"]
        if regular and self.envs.restore_level == "boundary" and self.restarted_at != batch:
            # Its state cannot be saved, so every run starts its episodes anew here: a resumed run
            # then equals one that was never stopped.
            self.learner.collector.restart_episodes()
            self.restarted_at = batch
        tensors = saving.gather(self.learner)
        with parallel.together(self.device):
            if self.folder is not None:
                keep = self.config.train.keep_checkpoints
                path = checkpoint.save(
                    self.folder, batch, tensors, self._meta(), keep=keep, best=best
                )
                self._tell("on_checkpoint", path)

    def _meta(self) -> dict[str, Any]:
        at_restart = self.restarted_at == self.learner.counters["batch"]
        return {
            **saving.facts(self.learner),
            "recent": self.recent,
            "best": self.evaluated.best,
            "events": self.events,
            "evaluation_due": self.evaluation_due,
            "exact": at_restart or self.envs.restore_level != "boundary",
        }

    def _load(self) -> bool:
        """Go to where the run stopped; False where it has no checkpoint yet."""
        found = None
        with parallel.together(self.device):
            if self.folder is not None:
                self.folder.lock()
                self.folder.remove_stale()
                found = saving.find(self.folder, self.learner)
                checkpoint.tidy(self.folder, self.config.train.keep_checkpoints)
        found = saving.share(found, self.device)
        if found is None:
            return False
        meta = found.meta
        self.learner.load_state_dict(saving.of_this_rank(found.tensors))
        self.learner.counters.update(meta["counters"])
        self.learner.wall_time = meta["wall_time_s"]
        self.recent, self.evaluated.best = meta["recent"], meta["best"]
        self.evaluation_due = meta.get("evaluation_due", False)
        self.restarted_at = found.batch if meta.get("exact", True) else -1
        self.events = [*meta.get("events", []), *found.rejected]
        self.events += saving.differences(found, self.learner)
        return True

    def _close(self) -> dict[str, Any]:
        """Save, say how it ended, free everything. What fails first is what is raised."""
        try:
            # After a failure on one rank the others may never answer.
            if self.opened and self.whole and not (self.status == "failed" and self.ranks > 1):
                self._save(regular=False)
        except (OSError, RunError, Diverged) as error:
            if self.status != "failed":
                self._fail(error, 1)
                raise
        finally:
            self.envs.close()
            self.evaluated.close()
            summary = self._end() if self.opened and self.folder is not None else {}
            if self.folder is not None:
                self.folder.release()
        return summary

    def _end(self) -> dict[str, Any]:
        assert self.folder is not None
        returns, learner = np.asarray(self.recent), self.learner
        summary = summarize(
            status=self.status,
            exit_status=self.exit_status,
            reason=self.reason,
            final_return=float(returns.mean()) if len(returns) else None,
            interval=bootstrap_interval(returns, 0) if len(returns) else (None, None),
            best=self.evaluated.best,
            counters=learner.counters,
            seconds={**learner.timing.seconds, "evaluation": self.evaluated.seconds},
            wall_time_s=learner.wall_time,
            findings=[finding.illness for finding in self.doctor.findings],
        )
        self.folder.set_status(**summary)
        self._tell("on_end", summary)
        return summary
