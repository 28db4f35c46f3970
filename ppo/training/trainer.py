"""Train and resume: batches, files, signals and the screen, in one order."""

from __future__ import annotations

import shlex
import sys
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
from ppo.functional.bootstrap import mean_interval
from ppo.insight.doctor import Watch
from ppo.policies.policy import load_policy
from ppo.runs import checkpoint, provenance
from ppo.runs.files import from_here
from ppo.runs.folder import RunFolder
from ppo.runs.names import find_run, results_folder
from ppo.runs.summary import changed_settings, keep_former_settings, summarize
from ppo.runs.tensorboard import TensorBoardLog
from ppo.training import state as saving
from ppo.training.evaluations import RunEvaluations

RECENT_EPISODES = 100


class Quiet:
    """A console that says nothing: what a Trainer in a script has."""

    def start(self, *_: Any, **__: Any) -> None: ...
    def batch(self, *_: Any, **__: Any) -> None: ...
    def finding(self, *_: Any, **__: Any) -> None: ...
    def note(self, *_: Any, **__: Any) -> None: ...
    def single_batch(self, *_: Any, **__: Any) -> None: ...
    def end(self, *_: Any, **__: Any) -> None: ...


class Trainer:
    """A training run.

    Nothing is written before `train()`: a configuration that does not work leaves no run behind.

    Args:
        config: validated settings.
        results: folder of run folders.
        console: told what happens; silent by default.
        resume: a run (`run0007`, `latest`, a path) to continue exactly where it stopped.
    """

    def __init__(
        self,
        config: Config,
        results: str | Path = "training_results",
        console: Any = None,
        resume: str | None = None,
    ) -> None:
        self.config, self.results, self.here = config, results_folder(results), Path.cwd()
        self.console = console or Quiet()
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
        self.watch = Watch() if config.logging.doctor else None
        self.tensorboard: TensorBoardLog | None = None
        self.status = "running"
        self.exit_status = 0
        self.reason: str | None = None
        self.last_record: dict[str, Any] | None = None

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
        findings = self.watch.findings if self.watch else []
        lines = [str(error), *(f"{finding.illness}: {finding.remedy}" for finding in findings[:2])]
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
            self.last_record = record if batches is not None else None
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
        if not loaded:
            self.events = [*self.envs.notes, *self._limits_of_resume()]
            self._adopt_policy()
            self.events += self.learner.start()
        with parallel.together(self.device):
            if parallel.rank() == 0:
                self._open_folder(loaded)
        self.opened = True

    def _open_folder(self, loaded: bool) -> None:
        facts = provenance.collect(torch=torch, device=str(self.device), folder=self.here)
        differs: dict[str, Any] = {}
        if self.folder is None:
            texts = {
                "config.yaml": self.config.to_yaml(),
                "command.txt": shlex.join(sys.argv) + "\n",
            }
            self.folder = RunFolder.create(self.results, texts, room=self._checkpoint_size())
            differs |= changed_settings(self.config, self.folder)
        else:
            batch = self.learner.counters["batch"]
            self.evaluated.load(self.folder, before=batch - self.evaluation_due)
            self.folder.truncate(batch)
            self.folder.truncate_episodes(batch)
            differs |= self._adopt_settings(batch)
            self.folder.write_text("config.yaml", self.config.to_yaml())
        self.folder.write_json("provenance.json", facts)
        self.folder.set_status("running", **facts)
        if self.config.logging.tensorboard:
            step = self.learner.counters["env_steps"] if self.resumed else None
            self.tensorboard = TensorBoardLog(self.folder.path / "tensorboard", step)
        self.console.start(
            self.folder.name,
            self.config,
            {
                "backend": self.envs.backend,
                "device": str(self.device),
                "threads": torch.get_num_threads(),
                "parameters": self.num_parameters,
                "total_steps": self.config.train.total_timesteps,
                "path": from_here(self.folder.path),
                "batch": self.learner.counters["batch"],
                **differs,
            },
        )
        if self.resumed and not loaded:
            self.console.note("the run had no checkpoint yet: it begins again with batch 0")
        for line in (*self.folder.warnings, *(self._limits_of_resume() if loaded else [])):
            self.console.note(line)

    def _adopt_settings(self, batch: int) -> dict[str, Any]:
        """Say, and keep, what the settings of the batches so far had otherwise."""
        assert self.folder is not None
        if not batch:  # nothing was trained with the former ones
            return {}
        former = keep_former_settings(self.config, self.folder, batch)
        if not former.changes:
            return {}
        self.events += [f"resumed with {change}" for change in former.changes]
        if former.config is not None:
            self.events += saving.jumps(former.config, self.config, self.learner.counters)
        return {"previous": f"batch {batch}", "differs": former.changes}

    def _limits_of_resume(self) -> list[str]:
        if self.envs.restore_level != "boundary":
            return []
        return [
            "this environment's state cannot be saved: episodes start anew at each checkpoint, in "
            "every run; a run that is stopped in between is not the same afterwards"
        ]

    def _adopt_policy(self) -> None:
        """Start from the actor that `train.initial_policy` names."""
        run = self.config.train.initial_policy
        if run is None or self.initial_policy is None:
            return
        from ppo.policies.imitation import adopt

        policy = load_policy(self.initial_policy, self.results)
        self.events += policy.check_environments(self.envs, run)
        adopt(self.learner.objective.agent, policy.agent, run)
        self.events.append(f"the actor starts from {run}; the critic is new")

    def _checkpoint_size(self) -> int:
        """Bytes of a checkpoint, asked for at the start so that a full disk shows then."""
        return sum(
            value.numel() * value.element_size() for value in self.learner.state_dict().values()
        )

    def _write(self, record: dict[str, Any]) -> None:
        rows = self.learner.finished
        if rows is not None:
            self.recent = [*self.recent, *rows.returns.tolist()][-RECENT_EPISODES:]
        if self.folder is None:
            return
        if rows is not None and self.config.logging.episodes:
            names = self.envs.component_names
            self.folder.append_episodes(rows.csv_rows(record["batch"], names))
        self.folder.append(record)
        if self.tensorboard is not None:
            self.tensorboard.add(record)
        steps_left = max(0, self.config.train.total_timesteps - record["env_steps"])
        self.console.batch(record, steps_left / max(record["steps_per_second"], 1e-9))
        for finding in self.watch.update(record) if self.watch else []:
            best = finding.remedy.split("; else ")[0]
            self.console.finding(finding.illness, finding.evidence, best, self.folder.name)
        for event in record["events"]:
            self.console.note(event)

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
        assert self.folder is not None
        best = self.evaluated.play(self.learner, poll)
        self.events += self.evaluated.notes
        self.evaluated.write(self.folder, self.tensorboard)
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
                checkpoint.save(self.folder, batch, tensors, self._meta(), keep=keep, best=best)

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
            interval=mean_interval(returns, 0) if len(returns) else (None, None),
            best=self.evaluated.best,
            counters=learner.counters,
            seconds={**learner.timing, "evaluation": self.evaluated.seconds},
            wall_time_s=learner.wall_time,
            findings=[finding.illness for finding in self.watch.findings] if self.watch else [],
        )
        self.folder.set_status(**summary)
        self.folder.close()
        if self.tensorboard is not None:
            finals = {
                "hparam/final_return": summary["final_return"],
                "hparam/best_return": summary["best_return"],
            }
            self.tensorboard.hyperparameters(
                self.config, {k: v for k, v in finals.items() if v is not None}
            )
            self.tensorboard.close()
        self._tell_end(summary)
        return summary

    def _tell_end(self, summary: dict[str, Any]) -> None:
        assert self.folder is not None
        for event in self.events:  # since the last batch; no record holds them
            self.console.note(event)
        if self.last_record is not None:
            self.console.single_batch(self.last_record, self.config)
        self.console.end(
            {
                **summary,
                "run": self.folder.name,
                "path": from_here(self.folder.path),
                "return_episodes": len(self.recent),
            }
        )
