"""Logs packed by gzip, bzip2 or xz."""

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ppo.core.errors import UserError

OPEN: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}


@contextmanager
def unpacked(file: Path) -> Iterator[Path]:
    """The content of a packed file under the name that it had, as far as it is whole.

    Raises:
        UserError: it is damaged, or what reads the content refuses it; names the packed file.
    """
    with tempfile.TemporaryDirectory() as folder:
        inner = Path(folder) / file.stem
        try:
            with OPEN[file.suffix](file) as packed, inner.open("wb") as out:
                with suppress(EOFError):  # cut off: its last batches are missing
                    shutil.copyfileobj(packed, out)
        except (OSError, zlib.error, lzma.LZMAError) as fault:
            why = getattr(fault, "strerror", None) or fault
            raise UserError(f"{file}: cannot be unpacked ({why})") from None
        try:
            yield inner
        except UserError as fault:
            told = (message.replace(str(inner), str(file)) for message in fault.messages)
            raise UserError(*told) from None
