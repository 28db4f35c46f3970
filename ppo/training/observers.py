"""What happens around a batch, as observers of one protocol.

After a batch the doctor comes first, then the user's callbacks, in every process. The files of the
run, TensorBoard and the console follow; these and the doctor are of the first process only, read
the trainer and change nothing about the training.
"""

from __future__ import annotations

import contextlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ppo.config import Config
from ppo.core.errors import RunError, one_line
from ppo.insight.doctor import Verdict, Watch, judge
from ppo.insight.logs.own import flatten
from ppo.insight.rules import Finding
from ppo.runs.files import from_here
from ppo.runs.folder import RunFolder
from ppo.runs.mirror import Mirror
from ppo.runs.names import to_type
from ppo.runs.tensorboard import TensorBoardLog


class Callback:
    """Something of the user's that watches a training and may steer it; see docs/callbacks.md.

    Every method is optional; a class need not inherit from this one.
    """

    def on_start(self, trainer: Any) -> None:
        """`train` begins; the run folder is there. A state that is resumed is loaded afterwards."""

    def on_batch(self, trainer: Any, record: dict[str, Any]) -> None:
        """A batch is over, its `record` not yet written: `trainer.log` adds to it."""

    def on_evaluation(self, trainer: Any, row: dict[str, Any]) -> None:
        """The policy was evaluated. `row`: mean_return, ci95, batch and so on."""

    def on_checkpoint(self, trainer: Any, path: Any) -> None:
        """A checkpoint was saved at `path`."""

    def on_end(self, trainer: Any, summary: dict[str, Any]) -> None:
        """`train` ends. `summary`: what summary.json holds."""

    def state_dict(self) -> dict[str, Any]:
        """What a resume needs: numbers, strings, tensors, and lists and dicts of them."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes over what `state_dict` gave."""


def evaluated(row: dict[str, Any]) -> dict[str, float]:
    """The figures of an evaluation that TensorBoard and trackers show."""
    names = ("mean_return", "mean_length", "success_rate")
    return {f"evaluation/{name}": row[name] for name in names if row[name] is not None}


class Files(Callback):
    """loss_metrics.json, episodes.csv and evaluations.json."""

    def on_batch(self, trainer: Any, record: dict[str, Any]) -> None:
        rows = trainer.learner.finished
        if rows is not None and trainer.config.logging.episodes:
            names = trainer.envs.component_names
            trainer.folder.append_episodes(rows.csv_rows(record["batch"], names))
        trainer.folder.append(record)

    def on_evaluation(self, trainer: Any, row: dict[str, Any]) -> None:
        trainer.folder.write_json("evaluations.json", trainer.evaluations)

    def on_end(self, trainer: Any, summary: dict[str, Any]) -> None:
        trainer.folder.close()


class TensorBoard(Callback):
    """Event files in the run folder, where `logging.tensorboard` is on."""

    def __init__(self) -> None:
        self._log: TensorBoardLog | None = None

    def on_start(self, trainer: Any) -> None:
        logging = trainer.config.logging
        if logging.tensorboard or "tensorboard" in logging.trackers:
            counters = trainer.learner.counters
            goes_on = trainer.resumed or counters["batch"]
            step = counters["env_steps"] + 1 if goes_on else None  # those of this step stay
            self._log = TensorBoardLog(trainer.folder.path / "tensorboard", step)

    def on_batch(self, trainer: Any, record: dict[str, Any]) -> None:
        if self._log is not None:
            self._log.add(record)

    def on_evaluation(self, trainer: Any, row: dict[str, Any]) -> None:
        if self._log is not None:
            self._log.scalars(evaluated(row), row["env_steps"])

    def on_end(self, trainer: Any, summary: dict[str, Any]) -> None:
        if self._log is None:
            return
        names = ("final_return", "best_return")
        finals = {f"hparam/{n}": summary[n] for n in names if summary[n] is not None}
        self._log.hyperparameters(trainer.config, finals)
        self._log.close()
        self._log = None


class Mirroring(Callback):
    """A copy of the run at `train.mirror`, brought up to date at each checkpoint and at the end.

    An address that does not work at the start is the user's mistake. A fault later on ends nothing;
    it is reported once, and at the end again.
    """

    def __init__(self) -> None:
        self._mirror: Mirror | None = None
        self._failed = False

    def on_start(self, trainer: Any) -> None:
        address = trainer.config.train.mirror
        if address is not None:
            self._mirror = Mirror(address, trainer.folder.path)

    def on_checkpoint(self, trainer: Any, path: Any) -> None:
        self._push(trainer, "training goes on")

    def on_end(self, trainer: Any, summary: dict[str, Any]) -> None:
        self._failed = False
        self._push(trainer, "the run there is not whole")

    def _push(self, trainer: Any, rest: str) -> None:
        if self._mirror is None:
            return
        try:
            self._mirror.push()
            self._failed = False
        except RunError as error:
            if not self._failed:
                trainer.events.append(f"train.mirror: {self._mirror.address}: {error}; {rest}")
            self._failed = True


class Report(Callback):
    """report.html, before the folder is closed. A fault in it is told and ends nothing."""

    def on_end(self, trainer: Any, summary: dict[str, Any]) -> None:
        try:
            self._write(trainer, summary)
        except Exception as fault:
            trainer.events.append(f"report.html could not be written: {one_line(repr(fault))}")

    def _write(self, trainer: Any, summary: dict[str, Any]) -> None:
        from ppo.insight.comparison.report import Ended, report  # not before there is a run to show

        place = from_here(trainer.folder.path)
        ended = Ended(
            summary,
            trainer.doctor.verdict,
            flatten(trainer.settings.base.to_dict()),
            flatten(Config().to_dict()),
            trainer.evaluations,
            to_type(trainer.folder.name, place),
            Path(place),
        )
        trainer.folder.write_text("report.html", report(trainer.folder.path, ended))


class Doctor(Callback):
    """Applies the rules while training goes on, where `logging.doctor` is on.

    Attributes:
        new: what the last batch added to `findings`.
        verdict: on the whole run, at its end.
    """

    def __init__(self, config: Config) -> None:
        self._watch = Watch(config.to_dict()) if config.logging.doctor else None
        self.new: list[Finding] = []
        self.verdict: Verdict | None = None

    @property
    def findings(self) -> list[Finding]:
        """Every finding so far."""
        return self._watch.findings if self._watch else []

    def recall(self, folder: RunFolder, state: list[dict[str, Any]] | None) -> None:
        """Goes on with the batches in the folder; `state` gave the checkpoint of the last."""
        if self._watch is not None:
            known = None if state is None else [_finding(values) for values in state]
            self._watch.recall(folder.records(), known)

    def on_batch(self, trainer: Any, record: dict[str, Any]) -> None:
        self.new = self._watch.update(record) if self._watch else []

    def state(self) -> list[dict[str, Any]]:
        """The findings as JSON; the records that the rules read are in the run folder."""
        return [asdict(finding) for finding in self.findings]

    def judge(self, folder: RunFolder) -> Verdict | None:
        """The verdict on the whole run, which is that of `--mode diagnose`; None: there is none."""
        self.verdict = None
        if self._watch is not None:
            with contextlib.suppress(OSError):  # the disk's fault has been reported already
                self.verdict = judge(folder.path)
        return self.verdict


def _finding(values: dict[str, Any]) -> Finding:
    tuples = {name: tuple(values[name]) for name in ("sources", "explains")}
    return Finding(**(values | tuples))
