"""training_results/<run>/: its name, its lock, and every file in it except the checkpoints.

Everything here holds through a kill at any instant, a full disk and a power failure; which promise
rests on what is told in docs/reliability.md. This module imports no torch: readers start at once.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
import weakref
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ppo.core.errors import RunError, UserError
from ppo.runs import files
from ppo.runs.episodes_file import EpisodesLog
from ppo.runs.metrics_file import MetricsLog, finite, read_lines, strict_loads, to_line
from ppo.runs.names import find_run, results_folder, take_number

STATUSES = ("running", "finished", "interrupted", "failed", "pruned")
LOCK_ATTEMPTS = 20  # a reader that checks whether the run is alive holds the lock for an instant


class RunFolder:
    """One run's folder. Writing to it takes its lock, which the kernel frees at death.

    Errors of the file system become a RunError of one line; earlier content is then intact.
    """

    def __init__(self, path: Path) -> None:
        self.path = path = path.absolute()  # the working directory may change
        self.name = path.name
        self.checkpoints = path / "checkpoints"
        self.warnings: list[str] = []  # what this file system cannot do, for the user to read once
        self._metrics = MetricsLog(path)
        self._episodes = EpisodesLog(path)
        self._lock = -1
        _open_folders.add(self)

    def __str__(self) -> str:
        return str(self.path)

    __fspath__ = __str__

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    # ---- finding and creating

    @classmethod
    def create(
        cls,
        results: str | os.PathLike[str],
        texts: Mapping[str, str] | None = None,
        *,
        room: int = 0,
    ) -> RunFolder:
        """Take the next number by an exclusive mkdir; the folder is locked and has empty metrics.

        Args:
            results: the results folder, made if missing.
            texts: files to begin with, name -> content.
            room: bytes that must be free there, so that a full disk shows before the training.

        Raises:
            UserError: nothing can be written there. No run folder is left behind.
        """
        folder: RunFolder | None = None
        place = results_folder(results)
        try:
            os.makedirs(place, exist_ok=True)
            folder = cls(take_number(place))
            folder.lock()
            folder._metrics.open()
            for name, text in (texts or {}).items():
                folder.write_text(name, text)
            if room:
                files.reserve(folder.path / "room", room)
        except (OSError, RunError) as error:
            if folder is not None:
                folder._undo(texts or {})
            why = files.reason(error) if isinstance(error, OSError) else str(error)
            raise UserError(
                f"--results {files.shown(results)}: cannot create a run folder there: {why}"
            ) from error
        folder._note_missing_links()
        return folder

    @classmethod
    def open(cls, results: str | os.PathLike[str], run: str) -> RunFolder:
        """The folder of an earlier run: `run0007`, `latest` (the highest number), or a path.

        Raises:
            UserError: there is no such run, or the name leads out of the results folder.
        """
        return cls(find_run(Path(results), run))

    # ---- lock

    def lock(self) -> None:
        """Hold this run until `close` or death; holding it already is fine.

        Raises:
            UserError: another process has it; the message names its number.
        """
        if self._lock >= 0:
            return
        with files.reporting(self.path, "lock the run"):
            fd = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        if not self._take(fd):
            owner = files.lock_owner(fd)
            os.close(fd)
            raise UserError(
                f"{files.shown(self.path)} is in use by {owner}; wait for it or stop it first"
            )
        self._lock = fd
        with files.reporting(self.path, "lock the run"):
            files.own_lock(fd)

    def _take(self, fd: int) -> bool:
        for attempt in range(LOCK_ATTEMPTS):
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except BlockingIOError:
                if attempt + 1 < LOCK_ATTEMPTS:
                    time.sleep(0.01)
            except OSError as error:
                self.warnings.append(
                    f"{files.shown(self.path)}: no file locks here ({files.reason(error)}): "
                    "make sure that only one process writes to this run"
                )
                return True
        return False

    def is_alive(self) -> bool:
        """Whether a process is training in this folder now."""
        if self._lock >= 0:
            return True
        try:
            fd = os.open(self.path / ".lock", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
        except BlockingIOError:
            return True
        except OSError:  # no locks on this file system: look for the process
            summary = self._summary()
            pid = summary.get("pid")
            same_boot = summary.get("boot_id") == files.boot_id()
            return isinstance(pid, int) and same_boot and files.process_alive(pid)
        finally:
            os.close(fd)

    # ---- records

    def append(self, record: Mapping[str, Any]) -> None:
        """Add one batch record: one line of loss_metrics.json; what is not finite becomes null.

        Raises:
            RunError: it could not be written; all earlier records are intact and valid JSON.
        """
        self.lock()
        with files.reporting(self.path, "write loss_metrics.json"):
            self._metrics.append(to_line(record))
        self._note_missing_links()

    def append_episodes(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add finished episodes to episodes.csv; equal keys in all rows, `batch` first.

        Raises:
            RunError: they could not be written; all earlier rows are intact.
        """
        self.lock()
        with files.reporting(self.path, "write episodes.csv"):
            self._episodes.append(list(rows))

    def truncate(self, num_batches: int) -> None:
        """On resume: keep the first `num_batches` records and their episodes. Costs O(n), once."""
        assert num_batches >= 0
        self.lock()
        with files.reporting(self.path, "cut loss_metrics.json"):
            self._metrics.open(num_batches)
        self._note_missing_links()
        with files.reporting(self.path, "cut episodes.csv"):
            self._episodes.open(num_batches=num_batches)

    def records(self) -> list[dict[str, Any]]:
        """Every complete batch record, oldest first."""
        with files.reporting(self.path, "read loss_metrics.json"):
            return [strict_loads(line) for line in read_lines(self.path)]

    def episodes(self) -> list[dict[str, str]]:
        """Every complete row of episodes.csv, as text."""
        with files.reporting(self.path, "read episodes.csv"):
            return self._episodes.rows()

    def sync(self) -> None:
        """Bring the records and episodes so far to the disk. Before a checkpoint gets its name."""
        with files.reporting(self.path, "sync the metrics"):
            self._metrics.sync()
            self._episodes.sync()

    # ---- other files

    def write_text(self, name: str, text: str) -> None:
        """Replace a file as a whole; a name with folders makes them.

        Raises:
            RunError: it could not be written; the old content is intact.
        """
        # As Python reads names of files that are no text: the same bytes come out.
        self.write_bytes(name, text.encode(errors="surrogateescape"))

    def write_json(self, name: str, content: Any) -> None:
        """Replace a JSON file as a whole; what is not a finite number becomes null."""
        self.write_text(name, json.dumps(finite(content), indent=2, allow_nan=False) + "\n")

    def write_bytes(self, name: str, data: bytes) -> None:
        """Replace a file as a whole."""
        path = self._inside(name)
        with files.reporting(self.path, f"write {name}"):
            os.makedirs(path.parent, exist_ok=True)
            files.atomic_write(path, data)

    def read_json(self, name: str) -> Any:
        """The content of a JSON file; None where there is none.

        Raises:
            UserError: the file is not JSON.
        """
        path = self._inside(name)
        try:
            return strict_loads(files.read_bytes(path))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UserError(f"{files.shown(path)}: cannot read: {files.reason(error)}") from error
        except ValueError as error:
            raise UserError(f"{files.shown(path)}: not valid JSON ({error})") from error

    def set_status(self, status: str, **fields: Any) -> dict[str, Any]:
        """Merge a status and further fields into summary.json; what it holds then."""
        assert status in STATUSES, status
        owner = {"pid": os.getpid(), "boot_id": files.boot_id()} if status == "running" else {}
        summary = {**self._summary(), "status": status, **owner, **fields}
        self.write_json("summary.json", summary)
        return summary

    def status(self) -> str:
        """As in summary.json, but `killed` where a `running` run has no process."""
        status = str(self._summary().get("status", "unknown"))
        return "killed" if status == "running" and not self.is_alive() else status

    def remove_stale(self) -> None:
        """Delete what killed processes left half written."""
        self.lock()
        with files.reporting(self.path, "remove stale temporary files"):
            files.remove_stale(self.path)
            files.remove_stale(self.checkpoints)

    # ---- end

    def close(self) -> None:
        """Sync, drop the second copy of the metrics, free the lock."""
        try:
            with files.reporting(self.path, "close the run"):
                self._episodes.sync()
                self._metrics.close()
        finally:
            self.release()

    def release(self) -> None:
        """Close every descriptor and write nothing more."""
        self._metrics.release()
        self._episodes.release()
        if self._lock >= 0:
            os.close(self._lock)
        self._lock = -1

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_lock"):
            self.release()

    # ---- helpers

    def _inside(self, name: str) -> Path:
        path = self.path / name
        parts = Path(name).parts
        assert parts and not Path(name).is_absolute() and ".." not in parts, f"bad file name {name}"
        return path

    def _summary(self) -> dict[str, Any]:
        """What summary.json holds; nothing where it is missing or someone broke it."""
        with files.reporting(self.path, "read summary.json"):
            try:
                summary = strict_loads(files.read_bytes(self.path / "summary.json"))
            except (FileNotFoundError, ValueError):
                return {}
        return summary if isinstance(summary, dict) else {}

    def _note_missing_links(self) -> None:
        if not self._metrics.has_links and not any("hard links" in line for line in self.warnings):
            self.warnings.append(
                f"{files.shown(self.path)}: no hard links here: a kill in the middle of a write "
                "can tear loss_metrics.json, and the next start mends it"
            )

    def _undo(self, texts: Mapping[str, str]) -> None:
        self.release()
        made = ["loss_metrics.json", ".metrics.a", ".metrics.b", ".lock", *texts]
        for name in made:
            files.discard(self.path / name)
        with contextlib.suppress(OSError):
            os.rmdir(self.path)


_open_folders: weakref.WeakSet[RunFolder] = weakref.WeakSet()


def _forget_in_child() -> None:
    """A forked worker lets go of the files: a lock it shares would outlive a killed trainer."""
    for folder in list(_open_folders):
        folder.release()


os.register_at_fork(after_in_child=_forget_in_child)
