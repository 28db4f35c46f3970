"""Train and resume: batches, files, signals and the screen, in one order."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ppo.algorithm import build
from ppo.config import Config
from ppo.core import parallel
from ppo.core.errors import Diverged, Dropped, RunError, UserError
from ppo.core.signals import SignalGuard
from ppo.envs.base import Environments
from ppo.policies.evaluate import evaluate_policy
from ppo.policies.play import bootstrap_interval
from ppo.policies.policy import Policy
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
    Between two calls of `train()` the environments stay as they are and the run's folder is free.

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
        self.begun = False  # whether the learner has a state to go on from
        self.opened = False
        self.whole = True  # whether the records written so far are those of the learner's state
        self.doctor = Doctor(config)
        self.observers = [Files(), TensorBoard(), self.doctor, *([console] if console else [])]
        self.notes: list[str] = []
        self.status = "running"
        self.exit_status = 0
        self.reason: str | None = None
        self._free = weakref.finalize(self, _free, self.envs, self.evaluated)

    @property
    def num_parameters(self) -> int:
        return self.learner.optimizer.flat.theta.numel()

    @property
    def evaluations(self) -> list[dict[str, Any]]:
        """What evaluations.json holds."""
        return self.evaluated.rows

    def train(
        self, batches: int | None = None, total_timesteps: int | None = None
    ) -> dict[str, Any]:
        """Train to a number of environment steps; called again it goes on, bit for bit.

        Args:
            batches: train so many further ones instead.
            total_timesteps: counted from the first batch; default: `train.total_timesteps`, which
                schedules follow in any case.

        Returns:
            The summary that is also written to summary.json.

        Raises:
            Diverged: numerical faults that rollbacks did not cure; the last good state is saved.
        """
        self._check(batches, total_timesteps)
        total = total_timesteps or self.config.train.total_timesteps
        self.status, self.exit_status, self.reason = "running", 0, None
        with SignalGuard(self.config.train.grace_seconds) as guard:
            self.learner.grace = guard.grace
            try:
                self._open()
                self._loop(self._end_of(batches, total), guard)
            except Dropped:
                self.begun = False  # what it did of a batch is undone by loading the checkpoint
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

    def _check(self, batches: int | None, total_timesteps: int | None) -> None:
        if batches is not None and total_timesteps is not None:
            raise UserError("train: give batches or total_timesteps, not both")
        for name, value in (("batches", batches), ("total_timesteps", total_timesteps)):
            if value is not None and value < 1:
                raise UserError(f"train: {name}: {value}; allowed: 1 or more")
        if self.status == "failed":
            raise UserError(
                f"train: this trainer has failed ({self.reason}); make another one, with resume"
            )

    def evaluate(
        self, episodes: int = 100, deterministic: bool = True, seed: int = 0
    ) -> dict[str, Any]:
        """Play the policy as it is now in environments of its own, as `--mode evaluate` does.

        Returns:
            mean_return, std_return, ci95, mean_length, success_rate, episodes.
        """
        return evaluate_policy(self.policy, episodes, seed, deterministic)

    @property
    def policy(self) -> Policy:
        """A copy of the policy as it is now, on the CPU."""
        agent = copy.deepcopy(self.learner.objective.agent).cpu()
        return Policy(agent, self.config, self.envs.observation_space, self.envs.action_space)

    def close(self) -> None:
        """Free the environments. A trainer that is dropped or left by `with` does it by itself."""
        self._free()

    def __enter__(self) -> Trainer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

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

    def _loop(self, is_over: Callable[[], bool], guard: SignalGuard) -> None:
        self._evaluate_if_due(guard)  # of the batch before an interruption
        while not is_over():
            record = self.learner.step()
            record["events"] = [*self.events, *record["events"]]
            self.whole = False
            self._write(record)
            self.whole, self.events = True, []
            if self._after_batch(guard):
                return
        self.status = "finished"

    def _end_of(self, batches: int | None, total: int) -> Callable[[], bool]:
        counters = self.learner.counters
        if batches is None:
            return lambda: counters["env_steps"] >= total
        last = counters["batch"] + batches
        return lambda: counters["batch"] >= last

    def _after_batch(self, guard: SignalGuard) -> bool:
        """Evaluation and checkpoint where they are due; whether to stop."""
        batch, interval = self.learner.counters["batch"], self.config.evaluation.interval
        on_time = bool(interval) and batch % interval == 0
        self.evaluation_due = on_time or self._has_reached_total()
        self._evaluate_if_due(guard)
        exit_status, save_requested = self._agree(guard)
        regular = batch % self.config.train.checkpoint_interval == 0
        if regular or save_requested:
            self._save(regular)
        if exit_status:
            self.status, self.exit_status = "interrupted", exit_status
        return bool(exit_status)

    def _has_reached_total(self) -> bool:
        """Whether the last batch was that in which the configuration's total was reached."""
        steps, total = self.learner.counters["env_steps"], self.config.train.total_timesteps
        return steps - self.learner.steps_per_batch < total <= steps

    def _agree(self, guard: SignalGuard) -> tuple[int, bool]:
        """Exit status where any rank was asked to stop, and whether to save: equal on all."""
        wishes = torch.tensor([guard.exit_status, guard.take_save_request()], dtype=torch.float32)
        if parallel.is_active():
            wishes = parallel.max_(wishes.to(self.device))
        exit_status, save = wishes.tolist()
        return int(exit_status), bool(save)

    def _open(self) -> None:
        goes_on = self.begun
        loaded = not goes_on and (self.resumed or self.opened) and self._load()
        limits = opening.limits_of_resume(self.envs)
        if not goes_on and not loaded:
            self.events = [*self.envs.notes, *limits]
            self.events += opening.adopt_policy(self.learner, self.config, self.initial_policy)
            self.events += self.learner.start()
        self.begun = True
        with parallel.together(self.device):
            if parallel.rank() == 0:
                self.folder = opening.open_folder(
                    self.folder, self.results, self.config, self.learner, self.here
                )
                before = self.learner.counters["batch"] - self.evaluation_due
                self.evaluated.load(self.folder, before)
                anew = ["the run had no checkpoint yet: it begins again with batch 0"]
                self.notes = anew if self.resumed and not (loaded or goes_on) else []
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
            if self.status == "failed":
                self.close()
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


def _free(envs: Environments, evaluated: RunEvaluations) -> None:
    envs.close()
    evaluated.close()
