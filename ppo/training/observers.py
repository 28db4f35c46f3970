"""What happens around a batch, as observers of one protocol.

The trainer calls them in order: the files of the run first, then TensorBoard, the doctor and the
console, in the first process only. They read the trainer and change nothing about the training.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ppo.config import Config
from ppo.insight.doctor import Finding, Watch
from ppo.runs.tensorboard import TensorBoardLog

SHOWN = ("mean_return", "mean_length", "success_rate")  # of an evaluation, in TensorBoard


class Callback:
    """Something that watches a training; every method is optional."""

    def on_start(self, trainer: Any) -> None:
        """Training begins; the run folder is there."""

    def on_batch(self, trainer: Any, record: dict[str, Any]) -> None:
        """A batch is over. `record`: its numbers."""

    def on_evaluation(self, trainer: Any, row: dict[str, Any]) -> None:
        """The policy was evaluated. `row`: mean_return, ci95, batch and so on."""

    def on_checkpoint(self, trainer: Any, path: Any) -> None:
        """A checkpoint was saved at `path`."""

    def on_end(self, trainer: Any, summary: dict[str, Any]) -> None:
        """Training has ended. `summary`: what summary.json holds."""

    def state_dict(self) -> dict[str, Any]:
        """What a resume needs."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes over what `state_dict` gave."""


def tell(observers: Iterable[Any], event: str, *args: Any) -> None:
    """Calls the method `event` of every observer that has one."""
    for observer in observers:
        method = getattr(observer, event, None)
        if method is not None:
            method(*args)


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
    """Event files in the run folder, where `logging.tensorboard` asks for them."""

    def __init__(self) -> None:
        self._log: TensorBoardLog | None = None

    def on_start(self, trainer: Any) -> None:
        if trainer.config.logging.tensorboard:
            step = trainer.learner.counters["env_steps"] if trainer.resumed else None
            self._log = TensorBoardLog(trainer.folder.path / "tensorboard", step)

    def on_batch(self, trainer: Any, record: dict[str, Any]) -> None:
        if self._log is not None:
            self._log.add(record)

    def on_evaluation(self, trainer: Any, row: dict[str, Any]) -> None:
        if self._log is not None:
            found = {f"evaluation/{name}": row[name] for name in SHOWN if row[name] is not None}
            self._log.scalars(found, row["env_steps"])

    def on_end(self, trainer: Any, summary: dict[str, Any]) -> None:
        if self._log is None:
            return
        names = ("final_return", "best_return")
        finals = {f"hparam/{n}": summary[n] for n in names if summary[n] is not None}
        self._log.hyperparameters(trainer.config, finals)
        self._log.close()
        self._log = None


class Doctor(Callback):
    """Asks the rules while training goes on, where `logging.doctor` asks for it.

    Attributes:
        new: what the last batch added to `findings`.
    """

    def __init__(self, config: Config) -> None:
        self._watch = Watch() if config.logging.doctor else None
        self.new: list[Finding] = []

    @property
    def findings(self) -> list[Finding]:
        """Every finding so far."""
        return self._watch.findings if self._watch else []

    def on_batch(self, trainer: Any, record: dict[str, Any]) -> None:
        self.new = self._watch.update(record) if self._watch else []
