"""The few file operations that everything a run leaves behind goes through.

Each one leaves either the old or the new content on disk, whatever instant the process or the
machine dies at. They call `os` functions by name, so that a test can stop the process at each.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from ppo.core.errors import RunError

TEMPORARY = re.compile(r"\..+\.tmp-(\d+)")
NEW_FILE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
BLOCK = 2**20  # bytes of zeros written at a time
# What a file system without hard links answers to link().
NO_HARD_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV})


def shown(path: str | os.PathLike[str]) -> str:
    """A path as one line of a message: quoted where it holds line breaks or control characters."""
    text = from_here(path)
    return text if text.isprintable() else repr(text)


def reason(error: OSError) -> str:
    """Why an operation failed, as in `No space left on device (ENOSPC)`."""
    code = errno.errorcode.get(error.errno or 0, "unknown error")
    return f"{error.strerror or error} ({code})"


def from_here(path: str | os.PathLike[str]) -> str:
    """A path, relative to the working directory where it lies in it: shorter to type."""
    text = os.fspath(path)
    try:
        here = os.path.join(os.getcwd(), "")
    except OSError:  # it was deleted
        return text
    return text[len(here) :] if text.startswith(here) and text != here else text


@contextlib.contextmanager
def reporting(folder: Path, action: str) -> Iterator[None]:
    """Turn an OSError into one line that names the folder and the reason.

    Raises:
        RunError: the file system refused; what was on disk before is intact.
    """
    try:
        yield
    except OSError as error:
        raise RunError(f"{shown(folder)}: cannot {action}: {reason(error)}") from error


def temporary(path: Path) -> Path:
    """Where `path` is written first: beside it, as a rename cannot cross file systems."""
    return path.with_name(f".{path.name.removeprefix('.')}.tmp-{os.getpid()}")


def write_all(fd: int, data: bytes, offset: int) -> None:
    """Write all of `data` at `offset`; the kernel may take it in several parts."""
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, offset)
        if written <= 0:
            raise OSError(errno.EIO, "nothing was written")
        view, offset = view[written:], offset + written


def fsync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power failure."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network file systems cannot sync a folder
            raise
    finally:
        os.close(fd)


def make_folder(path: Path) -> bool:
    """Create a folder; False where the name is taken already, so that one caller wins."""
    try:
        os.mkdir(path)
    except FileExistsError:
        return False
    try:
        fsync_folder(path.parent)
    except OSError:
        with contextlib.suppress(OSError):
            os.rmdir(path)
        raise
    return True


def write_temporary(path: Path, data: bytes) -> Path:
    """Write `data` beside `path` under a temporary name, down to the disk.

    Returns:
        The temporary name. Where writing failed, nothing is left.
    """
    draft = temporary(path)
    remove(draft)  # a dead process may have had our number
    fd = os.open(draft, NEW_FILE, 0o666)
    try:
        try:
            write_all(fd, data, 0)
            os.fsync(fd)
        finally:
            os.close(fd)
    except OSError:
        discard(draft)
        raise
    return draft


def commit(draft: Path, path: Path) -> None:
    """Give a finished temporary file its name, down to the disk."""
    try:
        os.replace(draft, path)
    except OSError:
        discard(draft)
        raise
    fsync_folder(path.parent)


def atomic_write(path: Path, data: bytes) -> None:
    """Replace a file as a whole: readers see the old or the new content, never a mixture.

    Raises:
        OSError: the old content is untouched.
    """
    commit(write_temporary(path, data), path)


def link_over(source: Path, target: Path) -> None:
    """Make `target` another name of `source`'s content, in one step for readers of `target`."""
    draft = temporary(target)
    try:
        os.link(source, draft)
    except FileExistsError:
        os.unlink(draft)
        os.link(source, draft)
    try:
        os.rename(draft, target)
    except OSError:
        discard(draft)
        raise


def reserve(path: Path, size: int) -> None:
    """Fail now where `size` bytes do not fit beside `path`; nothing is left behind.

    Raises:
        OSError: there is no room (ENOSPC, EDQUOT), or no permission.
    """
    draft = temporary(path)
    remove(draft)
    fd = os.open(draft, NEW_FILE, 0o666)
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(fd, 0, max(size, 1))
        else:  # macOS; a file that is only made longer takes no room
            for offset in range(0, max(size, 1), BLOCK):
                write_all(fd, bytes(min(BLOCK, max(size, 1) - offset)), offset)
            os.fsync(fd)
    finally:
        os.close(fd)
        discard(draft)


def append_lines(path: Path, lines: list[str]) -> None:
    """Add lines to a file that several processes write to, in one piece; its folder is made."""
    os.makedirs(path.parent, exist_ok=True)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, "".join(f"{line}\n" for line in lines).encode(errors="surrogateescape"))
    finally:
        os.close(fd)


def read_bytes(path: Path) -> bytes:
    """The content of a regular file; a pipe or a device is refused, as it could block for ever.

    Raises:
        OSError: missing, not readable, or not a regular file.
    """
    fd = open_regular(path)
    with os.fdopen(fd, "rb") as file:
        return file.read()


def open_regular(path: Path) -> int:
    """A descriptor to read a regular file; OSError for anything else."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "not a regular file")
    return fd


def remove(path: Path) -> None:
    """Delete a file; missing is fine."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def discard(path: Path) -> None:
    """Delete a file while another error is on its way: that one matters, not this."""
    with contextlib.suppress(OSError):
        os.unlink(path)


def remove_stale(folder: Path) -> None:
    """Delete the temporary files that dead processes left in a folder."""
    for name in sorted(os.listdir(folder)) if folder.is_dir() else []:
        match = TEMPORARY.fullmatch(name)
        # Our own number counts as dead: in a container every process may be number 7.
        if match and (int(match[1]) == os.getpid() or not process_alive(int(match[1]))):
            remove(folder / name)


def process_alive(pid: int) -> bool:
    """Whether a process with this number exists on this machine."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True


def own_lock(fd: int) -> None:
    """Note this process in a lock file that it holds."""
    os.ftruncate(fd, 0)
    write_all(fd, f"{os.getpid()}\n".encode(), 0)


def lock_owner(fd: int) -> str:
    """Which process holds a lock file, in words."""
    pid = os.pread(fd, 32, 0).decode(errors="replace").strip()
    return f"process {pid}" if pid.isdigit() else "another process"


def boot_id() -> str:
    """A name for this start of the machine: process numbers mean nothing after another."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
