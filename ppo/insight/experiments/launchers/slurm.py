"""Jobs of a SLURM cluster, submitted by submitit."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

from ppo.core.errors import UserError
from ppo.core.program import install
from ppo.insight.experiments.launchers.base import (
    FORCE,
    LOOK,
    LOST,
    PATIENCE,
    Launcher,
    environment,
    run_here,
)

MINUTES = 24 * 60  # where SBATCH_TIMELIMIT does not say otherwise


class SlurmLauncher(Launcher):
    """One SLURM job each; all nodes share the results and the working directory.

    Partition, account and time limit are those of sbatch's own environment variables
    (SBATCH_PARTITION, SBATCH_ACCOUNT, SBATCH_TIMELIMIT), which override what is asked for here.

    Args:
        gpus: that a job takes beside its CPU.
    """

    def __init__(self, gpus: float = 0.0) -> None:
        try:
            import submitit
        except ImportError:
            raise UserError(
                f'--launcher slurm needs the extra "slurm": {install("slurm")}'
            ) from None
        if shutil.which("sbatch") is None:
            raise UserError("--launcher slurm: there is no sbatch on this machine")
        if gpus != int(gpus):
            raise UserError(f"--gpus-per-job: {gpus}; allowed with slurm: whole numbers")
        self._submitit = submitit
        self._settings: dict[str, Any] = {
            "slurm_time": MINUTES,
            "cpus_per_task": 1,
            "name": "ppo",
            "stderr_to_stdout": True,
        }
        if gpus:
            self._settings["gpus_per_node"] = int(gpus)

    def capacity(self) -> int:
        return 10**6  # the queue is SLURM's

    def start(self, command: list[str], output: Path) -> Any:
        executor = self._submitit.AutoExecutor(folder=output.parent / "slurm", cluster="slurm")
        executor.update_parameters(**self._settings)
        path, here = environment()["PYTHONPATH"], os.getcwd()
        return executor.submit(run_here, command, str(output.resolve()), path, here)

    def poll(self, handle: Any) -> int | None:
        if not handle.done():
            return None
        try:
            return int(handle.result())
        except (self._submitit.core.utils.UncompletedJobError, OSError):  # no result was written
            return LOST
        except Exception:
            return 1

    def stop(self, handle: Any) -> None:
        handle.cancel(check=False)

    def wait(self, handle: Any) -> None:
        if not self._ended(handle, PATIENCE):
            # To all processes of the job, its shell script too.
            kill = ["scancel", "--signal=KILL", "--full", handle.job_id]
            subprocess.run(kill, check=False, capture_output=True)
            self._ended(handle, FORCE)

    def _ended(self, handle: Any, seconds: float) -> bool:
        """Whether a job ends within this time."""
        until = time.monotonic() + seconds
        while not handle.done():
            if time.monotonic() > until:
                return False
            time.sleep(LOOK)
        return True
