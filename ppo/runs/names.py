"""The names of runs: run0001, run0002, ... in a results folder, and what a user may call them."""

from __future__ import annotations

import itertools
import os
import re
import shlex
from pathlib import Path

from ppo.core.errors import UserError, one_line
from ppo.core.registry import nearest
from ppo.runs import files

RUN_NAME = re.compile(r"run\d{4,}")
REMOTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")  # of `s3://` a Path leaves one slash
MARKS = ("loss_metrics.json", "config.yaml", "summary.json", "checkpoints")  # of a run folder


def results_folder(results: str | os.PathLike[str]) -> Path:
    """The absolute path of a results folder: an environment may change the working directory.

    Raises:
        UserError: it is no path, or the address of another machine; there is no working directory.
    """
    if not isinstance(results, str | os.PathLike):
        raise UserError(f"results: {one_line(repr(results))}; allowed: a folder, as text or a Path")
    text = os.fspath(results)
    if REMOTE.match(text):
        text = text if "://" in text else text.replace(":/", "://", 1)  # of a Path
        raise UserError(
            f"--results {files.shown(text)}: remote addresses are not supported; give a folder, "
            f"and keep a copy there with train.mirror={text}"
        )
    try:
        return Path(os.path.abspath(text))
    except OSError as error:
        raise UserError(
            f"--results {files.shown(text)}: the working directory is gone ({files.reason(error)})"
        ) from None


def refuse_unwritable(results: Path) -> None:
    """Before long work whose run folder is made at its end; nothing is made here.

    Raises:
        UserError: no folder can be made there.
    """
    there = results
    while not os.path.lexists(there):
        there = there.parent
    if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        raise UserError(
            f"--results {files.shown(results)}: cannot create a run folder there: "
            f"{files.shown(there)} is no folder that can be written to"
        )


def to_type(run: str, path: str | Path | None) -> str:
    """What names a run on the command line: its path, where it lies in another results folder."""
    if path and Path(path).parent != Path("training_results"):
        return shlex.quote(str(path))
    return run


def run_names(results: str | os.PathLike[str]) -> list[str]:
    """The runs in a results folder, oldest number first."""
    try:
        found = [entry.name for entry in os.scandir(results) if entry.is_dir()]
    except OSError:
        return []
    return sorted(filter(_is_run_name, found), key=_number)


def _is_run_name(name: str) -> bool:
    return RUN_NAME.fullmatch(name) is not None and name == f"run{_number(name):04d}"


def _number(name: str) -> int:
    return int(name.removeprefix("run"))


def take_number(results: Path, word: str = "run") -> Path:
    """Make the folder of the next run; several processes at once get one each.

    Args:
        word: that the number follows in the name of the folder.

    Raises:
        OSError: no folder can be made in `results`.
    """
    form = re.compile(rf"{word}(\d{{4}}|[1-9]\d{{4,}})", re.ASCII)
    taken = (int(found[1]) for name in os.listdir(results) if (found := form.fullmatch(name)))
    for number in itertools.count(1 + max(taken, default=0)):
        path = results / f"{word}{number:04d}"
        if files.make_folder(path):
            return path
    raise AssertionError("unreachable")


def find_run(results: Path, run: str) -> Path:
    """The folder of `run0007`, of `latest` (the highest number), or at a path.

    Raises:
        UserError: there is no such run, or the name leads out of the results folder.
    """
    results = results_folder(results)
    if run == "latest":
        names = run_names(results)
        if not names:
            raise UserError(f"latest: no run in {files.shown(results)} yet")
        run = names[-1]
    if RUN_NAME.fullmatch(run):
        real = _real_folder(results / run)
        if real is None or not _is_run_name(run):
            raise UserError(_unknown(results, run))
        if real.parent != Path(os.path.realpath(results)):
            place = files.shown(results)
            raise UserError(f"{run} in {place} links to another place; give that path")
        return results / run
    real = _real_folder(Path(run)) if run else None
    if real is None:
        if os.path.isfile(run):
            raise UserError(f"{run!r} is a file; give the run folder")
        raise UserError(_unknown(results, run))
    if not any((real / mark).exists() for mark in MARKS):
        raise UserError(f"{run!r} is not a run folder: no loss_metrics.json or config.yaml in it")
    return real


def _real_folder(path: Path) -> Path | None:
    try:
        real = Path(os.path.realpath(path))
        return real if real.is_dir() else None
    except (OSError, ValueError):  # too long a name, or one with a null byte
        return None


def _unknown(results: Path, run: str) -> str:
    names = run_names(results)
    known = f"the latest is {names[-1]}" if names else "it has no runs yet"
    digits = re.fullmatch(r"(?:run)?_?-?(\d{1,9})", run)
    guess = f"run{int(digits[1]):04d}" if digits else ""
    hint = f"; did you mean {guess}?" if guess in names and guess != run else nearest(run, names)
    return f"no run {run!r} in {files.shown(results)} ({known}){hint}"
