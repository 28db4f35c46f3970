"""Train and resume: batches, files, signals and the screen, in one order."""

from __future__ import annotations

import hashlib
import shlex
import sys
import time
from pathlib import Path
from typing import Any

import torch

from ppo import build, checkpoint, parallel, provenance
from ppo.config import Config
from ppo.doctor import Watch
from ppo.errors import Diverged, RunError, UserError
from ppo.evaluation import bootstrap_interval, evaluate
from ppo.policy import Policy, load_policy
from ppo.randomness import stream_seed
from ppo.run_folder import RunFolder, run_names
from ppo.signals import SignalGuard
from ppo.spaces import describe
from ppo.tensorboard_log import TensorBoardLog

RECENT_EPISODES = 100
EVALUATION_ENVS = 16


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
        self.config, self.results = config, Path(results)
        self.console = console or Quiet()
        self.folder = RunFolder.open(self.results, resume) if resume else None
        self.resumed = resume is not None
        self.device = build.prepare_torch(config)
        parallel.start(self.device)
        self.envs = build.build_environments(config, self.device)
        self.learner = build.build_learner(config, self.envs, self.device)
        self.recent: list[float] = []
        self.best: dict[str, Any] | None = None
        self.evaluations: list[dict[str, Any]] = []
        self.events: list[str] = list(self.envs.notes)
        self.watch = Watch() if config.logging.doctor else None
        self.tensorboard: TensorBoardLog | None = None
        self.status = "running"
        self.exit_status = 0
        self.evaluating = 0.0
        self.last_record: dict[str, Any] | None = None
        self._evaluation_envs: Any = None

    @property
    def num_parameters(self) -> int:
        return self.learner.optimizer.flat.theta.numel()

    def train(self, batches: int | None = None) -> dict[str, Any]:
        """Train to `train.total_timesteps`, or for so many batches.

        Returns:
            The summary that is also written to summary.json.

        Raises:
            Diverged: numerical faults that rollbacks did not cure; the last good state is saved.
        """
        with SignalGuard() as guard:
            self._open()
            try:
                self._loop(batches, guard)
            except Diverged as error:
                self.status, self.exit_status = "failed", Diverged.exit_status
                self.events.append(str(error))
                raise
            except Exception as error:
                self.status, self.exit_status = "failed", 1
                self.events.append(str(error).splitlines()[0] if str(error) else repr(error))
                raise
            finally:
                summary = self._close()
        return summary

    def _loop(self, batches: int | None, guard: SignalGuard) -> None:
        counters, train = self.learner.counters, self.config.train
        first = counters["batch"]
        while counters["env_steps"] < train.total_timesteps or batches is not None:
            if batches is not None and counters["batch"] - first >= batches:
                break
            record = self.learner.step()
            record["events"] = [*self.events, *record["events"]]
            self.events = []
            self._write(record)
            self.last_record = record if batches is not None else None
            done = counters["env_steps"] >= train.total_timesteps
            interval = self.config.evaluation.interval
            if batches is None and (done or (interval and counters["batch"] % interval == 0)):
                self._evaluate()
            if counters["batch"] % train.checkpoint_interval == 0 or guard.take_save_request():
                self._save()
            if self._agree(guard.stop_requested):
                self.status, self.exit_status = "interrupted", guard.exit_status
                return
        self.status = "finished"

    def _agree(self, stop: bool) -> bool:
        """Ranks stop after the same batch."""
        if not parallel.is_active():
            return stop
        return bool(parallel.max_(torch.tensor(float(stop), device=self.device)))

    def _open(self) -> None:
        if not self.resumed:
            self._adopt_policy()
            self.events += self.learner.start()
        if parallel.rank() > 0:
            return
        facts = provenance.collect(torch=torch, device=str(self.device))
        if self.folder is None:
            texts = {
                "config.yaml": self.config.to_yaml(),
                "command.txt": shlex.join(sys.argv) + "\n",
            }
            self.folder = RunFolder.create(self.results, texts, room=self._checkpoint_size())
        else:
            self.folder.lock()
            self.folder.remove_stale()
            self._load()
            self.folder.write_text("config.yaml", self.config.to_yaml())
        self.events += self.folder.warnings
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
                "path": str(self.folder.path),
                "batch": self.learner.counters["batch"],
                **self._differences(),
            },
        )

    def _differences(self) -> dict[str, Any]:
        """The settings that differ from those of the run before this one."""
        assert self.folder is not None
        earlier = [name for name in run_names(self.results) if name < self.folder.name]
        if not earlier or self.resumed:
            return {}
        try:
            before = Config.load(self.results / earlier[-1] / "config.yaml").to_dict()
        except UserError:  # written by another version: nothing to compare with
            return {}
        changes = [
            f"{section}.{key} {before[section].get(key)} -> {value}"
            for section, values in self.config.to_dict().items()
            for key, value in values.items()
            if before[section].get(key) != value
        ]
        return {"previous": earlier[-1], "differs": changes} if changes else {}

    def _adopt_policy(self) -> None:
        """Start from the actor that `train.initial_policy` names."""
        run = self.config.train.initial_policy
        if run is None:
            return
        from ppo.imitation import adopt

        adopt(self.learner.objective.agent, load_policy(run, self.results).agent, run)
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

    def _evaluate(self) -> None:
        """Play the current policy on its own environments; the best one is kept.

        Every evaluation of a run plays the same episodes, so that a policy is the best because of
        what it does and not because of where it started. Of equals the newest is kept.
        """
        if self.folder is None:
            return
        started = time.perf_counter()
        settings, counters = self.config.evaluation, self.learner.counters
        seed = stream_seed(self.config.system.seed, "evaluation")
        envs = self._evaluation_environments(seed)
        agent = self.learner.objective.agent
        policy = Policy(agent, self.config, self.envs.observation_space, self.envs.action_space)
        result = evaluate(envs, policy, settings.episodes, seed, settings.deterministic)
        agent.train()
        result |= {"batch": counters["batch"], "env_steps": counters["env_steps"]}
        self.evaluations.append(result)
        self.folder.write_json("evaluations.json", self.evaluations)
        if self.tensorboard is not None:
            names = ("mean_return", "mean_length", "success_rate")
            self.tensorboard.scalars(
                {f"evaluation/{n}": result[n] for n in names if result[n] is not None},
                counters["env_steps"],
            )
        if self.best is None or result["mean_return"] >= self.best["mean_return"]:
            self.best = result
            self._save(best=True)
        self.evaluating += time.perf_counter() - started

    def _evaluation_environments(self, seed: int) -> Any:
        from ppo.envs.make import make_environments

        count = min(self.config.evaluation.episodes, EVALUATION_ENVS)
        if self._evaluation_envs is None:
            self._evaluation_envs = make_environments(
                self.config.env, run_seed=seed, device=self.device, num_envs=count
            )
        self._evaluation_envs.run_seed = seed
        return self._evaluation_envs

    def _save(self, best: bool = False) -> None:
        if self.envs.restore_level == "boundary" and not best:
            # Its state cannot be saved, so every run starts its episodes anew here: a resumed run
            # then equals one that was never stopped.
            self.learner.collector.restart_episodes()
        if self.folder is None:
            return
        checkpoint.save(
            self.folder,
            self.learner.counters["batch"],
            self.learner.state_dict(),
            self._meta(),
            keep=self.config.train.keep_checkpoints,
            best=best,
        )

    def _meta(self) -> dict[str, Any]:
        return {
            "counters": self.learner.counters,
            "wall_time_s": self.learner.wall_time,
            "recent": self.recent,
            "best": self.best,
            "components": list(self.envs.component_names),
            "observation_space": describe(self.envs.observation_space),
            "action_space": describe(self.envs.action_space),
            "num_mask": self.envs.layout.num_mask,
            "restore_level": self.envs.restore_level,
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "device": str(self.device),
            "layout": self._layout(),
        }

    def _layout(self) -> str:
        """A digest of what a checkpoint must agree with to be loaded."""
        shapes = [
            (name, tuple(value.shape))
            for name, value in self.learner.objective.state_dict().items()
        ]
        return hashlib.sha256(repr(shapes).encode()).hexdigest()[:16]

    def _load(self) -> None:
        assert self.folder is not None
        found = checkpoint.load_latest(self.folder, self._misfit)
        if found is None:
            raise UserError(f"--resume {self.folder.name}: it has no checkpoint yet; start anew")
        self.events += found.rejected
        for name, now in (
            ("threads", torch.get_num_threads()),
            ("torch", torch.__version__),
            ("device", str(self.device)),
        ):
            if found.meta[name] != now:
                self.events.append(
                    f"resumed with another {name} ({found.meta[name]} -> {now}): "
                    "the same run, not the same bits"
                )
        if self.envs.restore_level == "boundary":
            self.events.append(
                "this environment's state cannot be saved: episodes start anew at "
                "each checkpoint, in every run"
            )
        self.learner.load_state_dict(found.tensors)
        self.learner.counters.update(found.meta["counters"])
        self.learner.wall_time = found.meta["wall_time_s"]
        self.recent, self.best = found.meta["recent"], found.meta["best"]
        earlier = self.folder.read_json("evaluations.json") or []
        self.evaluations = [e for e in earlier if e["batch"] <= found.batch]
        self.folder.truncate(found.batch)
        self.folder.truncate_episodes(found.batch)

    def _misfit(self, found: checkpoint.Checkpoint) -> str | None:
        if found.meta["layout"] == self._layout():
            return None
        return "its network or critic differs from this configuration"

    def _close(self) -> dict[str, Any]:
        self.envs.close()
        if self._evaluation_envs is not None:
            self._evaluation_envs.close()
        if self.folder is None:
            return {}
        summary = self._summary()
        try:
            if self.status != "failed":
                self._save()
        except (OSError, RunError) as error:
            summary["save_error"] = str(error)
        if self.tensorboard is not None:
            finals = {
                "hparam/final_return": summary["final_return"],
                "hparam/best_return": summary["best_return"],
            }
            self.tensorboard.hyperparameters(
                self.config, {k: v for k, v in finals.items() if v is not None}
            )
            self.tensorboard.close()
        self.folder.set_status(**summary)
        self.folder.close()
        self._tell_end(summary)
        return summary

    def _tell_end(self, summary: dict[str, Any]) -> None:
        assert self.folder is not None
        if self.last_record is not None:
            self.console.single_batch(self.last_record, self.config)
        self.console.end(
            {
                **summary,
                "run": self.folder.name,
                "path": str(self.folder.path),
                "return_episodes": len(self.recent),
            }
        )

    def _summary(self) -> dict[str, Any]:
        import numpy as np

        returns = np.asarray(self.recent)
        interval = bootstrap_interval(returns, 0) if len(returns) else (None, None)
        findings = self.watch.findings if self.watch else []
        return {
            "status": self.status,
            "exit_status": self.exit_status,
            "reason": self.events[-1] if self.status == "failed" and self.events else None,
            "final_return": float(returns.mean()) if len(returns) else None,
            "final_return_ci95": list(interval),
            "best_return": self.best["mean_return"] if self.best else None,
            "best_evaluation": self.best,
            "batches": self.learner.counters["batch"],
            "env_steps": self.learner.counters["env_steps"],
            "episodes": self.learner.counters["episodes"],
            "wall_time_s": self.learner.wall_time,
            "time": {**self.learner.timing, "evaluation": self.evaluating},
            "findings": [finding.illness for finding in findings],
        }
