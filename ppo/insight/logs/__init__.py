"""Readers of training logs: our own run folders, and those that other libraries write."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ppo.core.errors import UserError, one_line
from ppo.insight.logs.event_files import read_event_files, time_in_name
from ppo.insight.logs.log import MetricsLog, from_records
from ppo.insight.logs.own import read_records, read_run, read_settings, read_summary
from ppo.insight.logs.series import Series
from ppo.runs.names import RUN_NAME, run_names
from ppo.runs.names import find_run as find_own_run

__all__ = [
    "MetricsLog",
    "find_run",
    "from_records",
    "read_log",
    "read_records",
    "read_run",
    "read_settings",
    "read_summary",
    "runs_in",
]

OWN_LOG = "loss_metrics.json"
IMITATION = "imitation.json"  # in a run of --mode pretrain
TABLES = (
    "progress.txt",
    "progress.json",
    "result.json",
    "loss_metrics.json",
    "log.json",
    "metrics.json",
    "history.json",
)
PREFERRED = ("progress", "metrics", "loss_metrics", "log", "result")
BESIDE = "progress.csv"  # of Stable-Baselines3, which holds more than its event file (epochs)
PACKED = (".gz", ".bz2", ".xz")
LARGEST_TEXT = 100_000_000  # bytes of a text file that is searched for figures
DEEPEST = 6  # folder levels below the given one that are searched for a log


def find_run(run: str, results: str | os.PathLike[str] = "training_results") -> Path:
    """The folder or file that a user means: a run's name, `latest`, or a path to any log.

    Raises:
        UserError: there is none.
    """
    if run == "latest":
        trained = (name for name in reversed(run_names(results)) if not _imitates(results, name))
        run = next(trained, run)
    elif not RUN_NAME.fullmatch(run) or _is_only_here(run, results):
        if os.path.exists(run):
            return Path(run)
        if Path(run).suffix or len(Path(run).parts) > 1:
            raise UserError(f"{one_line(run)}: no such file or folder")
    return find_own_run(Path(results), run)


def _is_only_here(run: str, results: str | os.PathLike[str]) -> bool:
    """Whether a run's name is a folder of the working directory and none of the results."""
    return os.path.isdir(run) and not os.path.exists(os.path.join(results, run))


def _imitates(*folder: str | os.PathLike[str]) -> bool:
    """Whether a folder is a run of imitation, which has no batches."""
    return os.path.exists(os.path.join(*folder, IMITATION))


def _refuse_imitation(folder: Path) -> None:
    if _imitates(folder):
        raise UserError(
            f"{folder}: a run of imitation (--mode pretrain), which has no batches: nothing to "
            f"judge; its losses are in {IMITATION}"
        )


@np.errstate(all="ignore")  # foreign figures overflow, and infinities are subtracted
def read_log(path: str | os.PathLike[str]) -> MetricsLog:
    """A log of any kind, found in a folder or given as a file.

    Raises:
        UserError: nothing there is a log that can be read.
    """
    place = Path(path)
    if not place.exists():
        raise UserError(f"{place}: no such file or folder")
    try:
        if place.is_dir():
            return _read_folder(place)
        return _read_packed(place) if place.suffix in PACKED else _read_file(place)
    except OSError as fault:
        raise UserError(f"{place}: cannot be read ({fault.strerror or fault})") from None


def _read_folder(folder: Path) -> MetricsLog:
    runs = [folder] if (folder / OWN_LOG).exists() else _runs_below(folder)
    if runs:
        _refuse_imitation(runs[0])
        log = read_run(runs[0])
        log.source = str(runs[0])
        if runs[0] != folder and len(runs) > 1:
            log.source += f", the newest of {len(runs)} runs"
        return log
    levels = _by_folder(folder)
    if not levels:
        raise UserError(
            f"{folder}: no {OWN_LOG}, TensorBoard event file, CSV or JSON-lines log in it"
        )
    newest = max(levels, key=lambda f: max(time_in_name(file) for file in levels[f]))
    chosen = folder if folder in levels else newest
    log = _read_files(sorted(levels[chosen]))
    if chosen != folder and len(levels) > 1:
        log.source += f", the newest of {len(levels)} folders with logs"
    return log


def runs_in(folder: Path) -> list[Path]:
    """The runs that a folder stands for: itself, or all of ours below it, by their places.

    The file of a run's records stands for its folder.
    """
    folder = folder.parent if folder.name == OWN_LOG else folder
    below = [] if (folder / OWN_LOG).exists() else _runs_below(folder)
    return sorted(below) or [folder]


def _runs_below(folder: Path) -> list[Path]:
    """Our own run folders below one, the newest first; those of imitation only where all are."""
    found: list[Path] = []
    for place, folders, files in _walk(folder):
        if OWN_LOG in files and (place / OWN_LOG).exists():  # no broken link
            found.append(place)
            folders.clear()
    trained = [run for run in found if not _imitates(run)]
    return sorted(trained or found, key=lambda r: (r / OWN_LOG).stat().st_mtime, reverse=True)


def _walk(folder: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    """As os.walk, no deeper than DEEPEST; then the folders that are linked, none twice, without
    what is below them, as a link may lead anywhere."""
    seen, links = set(), []
    for name, folders, files in os.walk(folder):
        place = Path(name)
        seen.add(os.path.realpath(place))
        links += [place / inner for inner in folders if (place / inner).is_symlink()]
        if len(place.relative_to(folder).parts) >= DEEPEST:
            folders.clear()
        yield place, folders, files
    for link in links:
        if (real := os.path.realpath(link)) not in seen:
            seen.add(real)
            yield from ((link, [], files) for _, _, files in itertools.islice(os.walk(link), 1))


def _by_folder(folder: Path) -> dict[Path, list[Path]]:
    """Log files by the folder that holds them: event files, else tables, else printed text."""
    from ppo.insight.logs.console import SUFFIXES

    events: dict[Path, list[Path]] = {}
    tables: dict[Path, list[Path]] = {}
    printed: dict[Path, list[Path]] = {}
    for place, _, files in _walk(folder):
        for name in files:
            kind = None
            if "tfevents" in name:
                kind = events
            elif name.endswith((".csv", ".jsonl")) or name in TABLES:
                kind = tables
            elif name.endswith(SUFFIXES):
                kind = printed
            if kind is not None and (place / name).exists():  # no broken link
                kind.setdefault(place, []).append(place / name)
    return events or tables or _with_figures(printed)


def _with_figures(printed: dict[Path, list[Path]]) -> dict[Path, list[Path]]:
    """Of text files, those that hold what a trainer printed, where there is no other log."""
    from ppo.insight.logs.console import read_console

    kept = {
        folder: [
            file for file in files if file.stat().st_size < LARGEST_TEXT and read_console(file)
        ]
        for folder, files in printed.items()
    }
    return {folder: files for folder, files in kept.items() if files}


def _read_files(files: list[Path]) -> MetricsLog:
    """The log that the files of one folder hold: all event files, all monitors, or one table."""
    from ppo.insight.logs.dialects import interpret
    from ppo.insight.logs.tables import read_monitors

    if "tfevents" in files[0].name:
        series = read_event_files(files)
        log = interpret(series)
        log.source = f"{files[0].parent}: {', '.join(series.files)}"
        if (table := files[0].parent / BESIDE).exists():
            fuller = _read_file(table)
            if (fuller.writer, len(fuller)) == (log.writer, len(log)):
                return fuller
        if series.runs > 1:
            log.source += f", the newest of {series.runs} runs"
        return log
    preferred = [f for f in files if f.stem in PREFERRED]
    monitors = [f for f in files if f.name.endswith("monitor.csv")]
    if monitors and not preferred:
        log = interpret(read_monitors(monitors))
        log.source = f"{files[0].parent}: {len(monitors)} monitor files"
        return log
    scalars = None if preferred or len(files) < 2 else _scalars(files)
    if scalars is not None:
        log = interpret(scalars)
        log.source = f"{files[0].parent}: {len(files)} tables of one figure each"
        return log
    chosen = (preferred or files)[0]
    log = _read_file(chosen)
    if len(files) > 1:
        log.source += f", one of {len(files)} tables"
    return log


def _scalars(files: list[Path]) -> Series | None:
    """The log of a folder that has a table of steps and values for each figure."""
    from ppo.insight.logs.exports import downloads
    from ppo.insight.logs.names import scalar_files
    from ppo.insight.logs.tables import read_csv

    tables = [file for file in files if file.suffix == ".csv"]
    read = {file.stem: read_csv(file) for file in tables[:200]}
    return (scalar_files(read) or downloads(read)) if read else None


def _read_packed(file: Path) -> MetricsLog:
    from ppo.insight.logs.packed import unpacked

    with unpacked(file) as inner:
        log = _read_file(inner)
    log.source = str(file)
    return log


def _read_file(file: Path) -> MetricsLog:
    log = _read_table(file)
    log.source = log.source or str(file)
    return log


def _read_table(file: Path) -> MetricsLog:
    from ppo.insight.logs.console import SUFFIXES, read_console
    from ppo.insight.logs.dialects import interpret
    from ppo.insight.logs.exports import downloads
    from ppo.insight.logs.tables import read_csv, read_json_lines

    if "tfevents" in file.name or file.name.endswith("monitor.csv"):
        return _read_files([file])
    if file.suffix in SUFFIXES and (printed := read_console(file)) is not None:
        return interpret(printed)
    if file.suffix in (".csv", ".txt"):
        table = read_csv(file)
        return interpret(downloads({file.stem: table}) or table)
    head = file.read_bytes()[:65536]
    if b'"batches"' in head or b'"schema_version"' in head:
        if file.name == OWN_LOG:
            _refuse_imitation(file.parent)
        return read_run(file)
    table = read_json_lines(file)
    return interpret(downloads({file.stem: table}) or table)
