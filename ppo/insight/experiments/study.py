"""Optuna's side of a search: its study, whose trials are lines of one file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ppo.core.errors import UserError
from ppo.core.program import install

STARTUP = 5  # trials that are not pruned by their return
WARMUP = 2  # moments before which no run is
JOURNAL, NAME = "study.journal", "search"


def optuna_of() -> Any:
    """
    Raises:
        UserError: the package is missing.
    """
    try:
        import optuna
    except ImportError:
        raise UserError(f'--mode tune needs the extra "tune": {install("tune")}') from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def open_storage(folder: Path) -> Any:
    """Where Optuna keeps the trials of the search in a folder."""
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    return JournalStorage(JournalFileBackend(str(folder / JOURNAL)))


def open_study(optuna: Any, storage: Any, seed: int) -> Any:
    """Optuna's study of a search."""
    study = optuna.create_study(
        storage=storage, study_name=NAME, direction="maximize", load_if_exists=True
    )
    count = len(study.get_trials(deepcopy=False))  # going on draws other numbers than the beginning
    study.sampler = optuna.samplers.TPESampler(seed=seed + count, constant_liar=True)
    study.pruner = optuna.pruners.MedianPruner(STARTUP, WARMUP)
    return study


def running(optuna: Any, storage: Any, study: Any) -> Iterator[Any]:
    """The trials of a search that was killed, to go on with."""
    place = storage.get_study_id_from_name(NAME)
    for frozen in study.get_trials(deepcopy=False):
        if frozen.state == optuna.trial.TrialState.RUNNING:
            number = storage.get_trial_id_from_study_id_trial_number(place, frozen.number)
            yield optuna.trial.Trial(study, number)
