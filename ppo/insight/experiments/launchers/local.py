"""Jobs as processes of this machine."""

from __future__ import annotations

import subprocess
from pathlib import Path

from ppo.core.cores import num_cores
from ppo.insight.experiments.launchers.base import Launcher, end, environment, follow_parent


class LocalLauncher(Launcher):
    """Processes of this machine, which are stopped when this process dies."""

    def capacity(self) -> int:
        return num_cores()

    def start(self, command: list[str], output: Path) -> subprocess.Popen[bytes]:
        with output.open("ab") as file:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=environment(),
                preexec_fn=follow_parent(),
                start_new_session=True,  # Ctrl-C reaches this process only, which passes it on
            )

    def poll(self, handle: subprocess.Popen[bytes]) -> int | None:
        return handle.poll()

    def stop(self, handle: subprocess.Popen[bytes]) -> None:
        if handle.poll() is None:
            handle.terminate()

    def wait(self, handle: subprocess.Popen[bytes]) -> None:
        end(handle)
