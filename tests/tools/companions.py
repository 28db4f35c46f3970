"""What companions of the tests do."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path


def write(request: dict[str, str]) -> None:
    Path(request["path"]).write_text(request["text"])


def hang(request: dict[str, str]) -> None:
    """Starts a process, as a compiler is started, writes its number and works for ever."""
    started = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"])
    path = Path(request["path"])
    path.with_suffix(".part").write_text(str(started.pid))
    path.with_suffix(".part").rename(path)
    time.sleep(600)


def fail(request: dict[str, str]) -> None:
    raise ValueError(request)
