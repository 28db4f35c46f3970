"""A copy of a run folder at an fsspec address, such as s3://bucket/prefix, and the way back.

Files go up before the checkpoint that counts on them, and checkpoints go before older ones are
removed: whenever the machine dies, a run can be resumed from the copy.
"""

from __future__ import annotations

import os
import re
import shutil
import uuid
from pathlib import Path
from typing import Any

from ppo.core.errors import RunError, UserError, one_line
from ppo.core.program import install
from ppo.runs import files
from ppo.runs.names import MARKS, REMOTE, RUN_NAME

CHECKPOINTS = "checkpoints"
MARK = "mirror_id"
DRAFT = ".part"


class Mirror:
    """The copy of one run at `address`/<run>.

    Raises:
        UserError: the address cannot be reached or written, or holds another run of this name.
    """

    def __init__(self, address: str, folder: Path) -> None:
        self._folder = folder
        self._sent: dict[str, tuple[int, int]] = {}  # size and time of change by name
        self._files, root = _file_system(address, "train.mirror")
        self.address = f"{address.rstrip('/')}/{folder.name}"
        self._root = f"{root.rstrip('/')}/{folder.name}"
        try:
            self._claim()
            self.push()
        except RunError as error:
            raise UserError(f"train.mirror: {address}: {error}") from error

    def _claim(self) -> None:
        """Marks run and copy by one random word, by which a resumed run finds its own copy."""
        mine = self._folder / MARK
        if not mine.exists():
            files.atomic_write(mine, uuid.uuid4().hex.encode())
        try:
            there = self._files.find(self._root) if self._files.exists(self._root) else []
            theirs = f"{self._root}/{MARK}"
            same = theirs in there and self._files.cat_file(theirs) == mine.read_bytes()
        except Exception as error:
            raise RunError(f"cannot be read ({one_line(repr(error))})") from error
        if there and not same:
            raise UserError(
                f"train.mirror: {self.address} holds another run; give each machine a prefix of "
                f"its own, or go on with that run: --resume {self.address}"
            )
        self._sent = {path[len(self._root) :].lstrip("/"): (-1, -1) for path in there}

    def push(self) -> None:
        """Sends what is new since the last time.

        Raises:
            RunError: the address refused; what was sent before is intact.
        """
        try:
            names = sorted(_names(self._folder), key=lambda name: name.startswith(CHECKPOINTS))
            for name in names:
                self._send(name)
            for name in self._sent.keys() - set(names):
                self._files.rm_file(f"{self._root}/{name}")
                del self._sent[name]
        except Exception as error:  # every kind of storage has its own
            raise RunError(f"the copy failed ({one_line(repr(error))})") from error

    def _send(self, name: str) -> None:
        path = self._folder / name
        try:
            state = path.stat()
            mark = state.st_size, state.st_mtime_ns
            if self._sent.get(name) == mark:
                return
            data = path.read_bytes()
        except FileNotFoundError:  # removed meanwhile
            return
        target = f"{self._root}/{name}"
        if self._files.async_impl:  # an object store has no folders, and shows what is whole
            self._files.pipe_file(target, data)
        else:
            self._files.makedirs(os.path.dirname(target), exist_ok=True)
            self._files.pipe_file(f"{self._root}/{DRAFT}", data)  # a full disk tears what it writes
            self._files.mv(f"{self._root}/{DRAFT}", target)
        self._sent[name] = mark


def check(address: str | None) -> None:
    """Refuses an address of no known form; nothing is reached or written.

    Raises:
        UserError: what is wrong with it.
    """
    if address is not None:
        _file_system(address, "train.mirror")


def local(run: str, results: Path) -> str:
    """`run` as it is, or where it is an address, the path of its copy in `results`.

    Raises:
        UserError: there is no run at the address, or one of its name is in `results` already.
    """
    if not REMOTE.match(run):
        return run
    if os.environ.get("WORLD_SIZE", "1") != "1":
        raise UserError(f"--resume {run}: several processes cannot fetch it; copy the run first")
    storage, root = _file_system(run, "--resume")
    name = root.rstrip("/").rsplit("/", 1)[-1]
    target = results / name
    if not RUN_NAME.fullmatch(name):
        raise UserError(f"--resume {run}: the address must end in a run, such as /run0007")
    if target.exists():
        raise UserError(
            f"--resume {run}: {name} is in {files.shown(results)} already; resume that with "
            f"--resume {name}, or give another folder with --results"
        )
    try:
        found = [path for path in storage.find(root) if not path.endswith("/")]
        if not any(path[len(root) :].lstrip("/").split("/")[0] in MARKS for path in found):
            raise UserError(f"--resume {run}: no run there")
        _fetch(storage, root, found, target)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"--resume {run}: {one_line(repr(error))}") from error
    return str(target)


def _fetch(storage: Any, root: str, found: list[str], target: Path) -> None:
    """All files, under a temporary name until they are complete; nothing where one is not there."""
    draft = files.temporary(target)
    try:
        for path in found:
            name = path[len(root) :].lstrip("/")
            place = Path(os.path.normpath(draft / name))
            if draft not in place.parents:
                raise UserError(f"--resume: the copy holds a name that leads elsewhere: {name!r}")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(storage.cat_file(path))
        os.replace(draft, target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _file_system(address: str, place: str) -> tuple[Any, str]:
    import fsspec

    if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*:/", address):
        raise UserError(f"{place}: {address!r}; allowed: an address, such as s3://bucket/prefix")
    try:
        found: tuple[Any, str] = fsspec.core.url_to_fs(address)
    except ImportError as error:
        raise UserError(
            f"{place}: {address}: {one_line(str(error))} (for s3: {install('s3')})"
        ) from None
    except Exception as error:
        raise UserError(f"{place}: {address}: {one_line(str(error))}") from error
    return found


def _names(folder: Path) -> list[str]:
    """The finished files of a run, relative to its folder."""
    found = []
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        # A lock or a draft has a name that begins with a dot.
        hidden = any(part.startswith(".") for part in Path(name).parts)
        if path.is_file() and not hidden:
            found.append(name)
    return found
