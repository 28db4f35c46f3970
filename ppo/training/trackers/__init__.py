"""Experiment trackers that a run reports to, one file each; `logging.trackers` names them.

A tracker is a file of this folder with a class `Tracker`, or a class of the user's with its
methods. What fails in one is an event, once; it ends no run.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from ppo.core import imports
from ppo.core.errors import UserError, one_line
from ppo.core.program import install
from ppo.core.registry import Part, nearest
from ppo.insight.logs.own import flatten
from ppo.runs.tensorboard import figures
from ppo.training.observers import Callback, evaluated

IN_RUN = "tensorboard"  # of the run itself, not of this folder
KEY = "logging.trackers"
IDS = "trackers.json"  # file of a run: the identity of its run in each tracker
METHODS = {"start": "run, settings, known", "log": "values, step", "end": "summary"}
PATIENCE = 3  # faults in a row after which a tracker is left alone


class Tracker(Protocol):
    """What a tracker has; nothing is inherited."""

    def start(self, run: Path, settings: dict[str, Any], known: str | None) -> str | None:
        """A training begins, or goes on.

        Args:
            run: folder of the run.
            settings: the configuration, by dotted keys.
            known: what `start` returned when this run began; None: it is new.

        Returns:
            What names this run in the tracker, if anything does.
        """

    def log(self, values: dict[str, float], step: int) -> None:
        """Figures after so many environment steps: a batch's, or `evaluation/...`."""

    def end(self, summary: dict[str, Any]) -> None:
        """A training ends; `summary` is what summary.json holds."""


def names() -> list[str]:
    """The trackers of this folder."""
    files = Path(__file__).parent.glob("[a-z]*_.py")
    return sorted([IN_RUN, *(file.stem.removesuffix("_") for file in files)])


def made(name: str) -> Any:
    """The tracker of this name.

    Raises:
        UserError: there is none, or its package is not installed.
    """
    place = f"{KEY}: {name}"
    if imports.is_path(name):
        kind = imports.load(name, KEY)
        found = Part(place, kind, {}, own=True)()
        missing = [method for method in METHODS if not hasattr(found, method)]
        if missing:
            wanted = ", ".join(f"{method}({args})" for method, args in METHODS.items())
            raise UserError(f"{place}: it has no {' and no '.join(missing)}; write {wanted}")
        return found
    if name not in names():
        raise UserError(
            f"{place}: allowed: {', '.join(names())}, or package.module:Class"
            f"{nearest(name, names())}"
        )
    try:
        return importlib.import_module(f"{__name__}.{name}_").Tracker()
    except ImportError:
        raise UserError(f'{place}: it needs the extra "{name}": {install(name)}') from None


class Trackers(Callback):
    """The trackers of a run; what fails in one is told once, and the run goes on."""

    def __init__(self, chosen: list[str]) -> None:
        self._trackers = {name: made(name) for name in chosen if name != IN_RUN}
        self._told: set[str] = set()
        self._in_a_row: dict[str, int] = {}
        self._begun: set[str] = set()

    def on_start(self, trainer: Any) -> None:
        if not self._trackers:
            return
        settings, run = flatten(trainer.config.to_dict()), trainer.folder.path
        known = trainer.folder.read_json(IDS) or {}
        for name, tracker in self._trackers.items():
            found = self._asked(trainer, name, tracker.start, run, settings, known.get(name))
            if name in self._begun:
                known[name] = found
        trainer.folder.write_json(IDS, known)

    def on_batch(self, trainer: Any, record: dict[str, Any]) -> None:
        if self._begun:
            self._log(trainer, figures(record), record["env_steps"])

    def on_evaluation(self, trainer: Any, row: dict[str, Any]) -> None:
        self._log(trainer, evaluated(row), row["env_steps"])

    def on_end(self, trainer: Any, summary: dict[str, Any]) -> None:
        for name in sorted(self._begun):
            self._asked(trainer, name, self._trackers[name].end, summary)
        self._begun.clear()

    def _log(self, trainer: Any, values: dict[str, float], step: int) -> None:
        for name in sorted(self._begun):
            if self._in_a_row.get(name, 0) < PATIENCE:
                self._asked(trainer, name, self._trackers[name].log, values, step)

    def _asked(self, trainer: Any, name: str, method: Callable[..., Any], *args: Any) -> Any:
        """What the method gives; None where it fails."""
        try:
            found = method(*args)
        except (Exception, SystemExit) as fault:
            self._in_a_row[name] = self._in_a_row.get(name, 0) + 1
            if name not in self._told:
                self._told.add(name)
                line = f"{KEY}: {name}: {one_line(repr(fault))[:300]}; training goes on"
                trainer.events.append(line)
                print(f"note: {line}", file=sys.stderr)
            return None
        self._in_a_row[name] = 0
        self._begun.add(name)
        return found
