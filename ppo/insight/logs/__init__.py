"""Readers of training logs: our own run folders, and those that other libraries write."""

from __future__ import annotations

import bz2
import gzip
import itertools
import lzma
import os
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from ppo.core.errors import UserError, one_line
from ppo.insight.logs.dialects import downloads, interpret
from ppo.insight.logs.event_files import read_event_files, time_in_name
from ppo.insight.logs.log import MetricsLog, from_records
from ppo.insight.logs.names import scalar_files
from ppo.insight.logs.own import read_records, read_run, read_settings, read_summary
from ppo.insight.logs.printed import SUFFIXES, read_console
from ppo.insight.logs.tables import read_csv, read_json_lines, read_monitors
from ppo.runs.names import RUN_NAME, run_names
from ppo.runs.names import find_run as find_own_run

__all__ = [
    "MetricsLog", "find_run", "from_records", "read_log", "read_records", "read_run",
    "read_settings", "read_summary", "runs_in",
]  # fmt: skip

OWN_LOG = "loss_metrics.json"
IMITATION = "imitation.json"  # in a run of --mode pretrain
TABLES = (
    "progress.txt", "progress.json", "result.json", "loss_metrics.json", "log.json",
    "metrics.json", "history.json",
)  # fmt: skip
PREFERRED = ("progress", "metrics", "loss_metrics", "log", "result")
BESIDE = "progress.csv"  # of Stable-Baselines3, which holds more than its event file (epochs)
PACKED: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
MOST_TABLES = 200  # of one figure each
LARGEST_TEXT = 100_000_000  # bytes of a text file that is searched for figures
DEEPEST = 6  # folder levels below the given one that are searched for a log


def find_run(run: str, results: str | os.PathLike[str] = "training_results") -> Path:
    """The folder or file that a user means: a run's name, `latest`, or a path to any log.

    Raises:
        UserError: there is none.
    """
    if run == "latest":
        names = reversed(run_names(results))
        trained = (name for name in names if not _imitates(Path(results, name)))
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


def _imitates(folder: Path) -> bool:
    """Whether a folder is a run of imitation, which has no batches."""
    return (folder / IMITATION).exists()


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
    events: dict[Path, list[Path]] = {}
    tables: dict[Path, list[Path]] = {}
    printed: dict[Path, list[Path]] = {}
    for place, _, files in _walk(folder):
        for file in (place / name for name in files):
            table = file.suffix in (".csv", ".jsonl") or file.name in TABLES
            kind = events if "tfevents" in file.name else tables if table else printed
            if (kind is not printed or file.suffix in SUFFIXES) and file.exists():  # no broken link
                kind.setdefault(place, []).append(file)
    return events or tables or _with_figures(printed)


def _with_figures(printed: dict[Path, list[Path]]) -> dict[Path, list[Path]]:
    """Of text files, those that hold what a trainer printed, where there is no other log."""
    kept = {
        folder: [f for f in files if f.stat().st_size < LARGEST_TEXT and read_console(f)]
        for folder, files in printed.items()
    }
    return {folder: files for folder, files in kept.items() if files}


def _read_files(files: list[Path]) -> MetricsLog:
    """The log that the files of one folder hold: all event files, all monitors, or one table."""
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
    tables = [file for file in files if file.suffix == ".csv"][:MOST_TABLES]
    single = {} if preferred or len(files) < 2 else {f.stem: read_csv(f) for f in tables}
    if (scalars := scalar_files(single) or downloads(single)) is not None:
        log = interpret(scalars)
        log.source = f"{files[0].parent}: {len(files)} tables of one figure each"
        return log
    chosen = (preferred or files)[0]
    log = _read_file(chosen)
    if len(files) > 1:
        log.source += f", one of {len(files)} tables"
    return log


def _read_packed(file: Path) -> MetricsLog:
    """The log in a packed file, unpacked under the name that it had, as far as it is whole.

    Raises:
        UserError: it is damaged, or what reads the content refuses it; names the packed file.
    """
    with tempfile.TemporaryDirectory() as folder:
        inner = Path(folder) / file.stem
        try:
            with PACKED[file.suffix](file) as packed, inner.open("wb") as out:
                with suppress(EOFError):  # cut off: its last batches are missing
                    shutil.copyfileobj(packed, out)
        except (OSError, zlib.error, lzma.LZMAError) as fault:
            why = getattr(fault, "strerror", None) or fault
            raise UserError(f"{file}: cannot be unpacked ({why})") from None
        try:
            log = _read_file(inner)
        except UserError as fault:
            told = (message.replace(str(inner), str(file)) for message in fault.messages)
            raise UserError(*told) from None
    log.source = str(file)
    return log


def _read_file(file: Path) -> MetricsLog:
    log = _read_table(file)
    log.source = log.source or str(file)
    return log


def _read_table(file: Path) -> MetricsLog:
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
