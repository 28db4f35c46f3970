"""Jobs as tasks of a Ray cluster."""

from __future__ import annotations

import logging
import os
import socket
from pathlib import Path
from typing import Any

from ppo.core.errors import UserError
from ppo.core.program import install
from ppo.insight.experiments.launchers.base import (
    LOST,
    PATIENCE,
    Launcher,
    environment,
    run_here,
)


class RayLauncher(Launcher):
    """Tasks of a running Ray cluster; all nodes share the results and the working directory.

    Args:
        gpus, cpus: share of each that a job takes; a fraction of a GPU is allowed.
    """

    def __init__(self, address: str = "auto", gpus: float = 0.0, cpus: float = 1.0) -> None:
        try:
            import ray
        except ImportError:
            raise UserError(f'--launcher ray needs the extra "ray": {install("ray")}') from None
        self._ray, self._share = ray, {"CPU": cpus, "GPU": gpus}
        if not ray.is_initialized():
            try:
                _reach(address)
                ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
            except (OSError, ValueError, RuntimeError) as error:
                raise UserError(
                    f"--launcher ray: no cluster at {address!r} ({str(error).splitlines()[0]}); "
                    "start one with: ray start --head"
                ) from None
        self._task = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=0)(run_here)

    def capacity(self) -> int:
        total = self._ray.cluster_resources()
        room = {kind: total.get(kind, 0) / share for kind, share in self._share.items() if share}
        for kind, jobs in room.items():
            if jobs < 1:
                raise UserError(
                    f"--launcher ray: a job takes {self._share[kind]:g} {kind}, and the cluster "
                    f"has {total.get(kind, 0):g}"
                )
        return int(min(room.values()))

    def start(self, command: list[str], output: Path) -> Any:
        path, here = environment()["PYTHONPATH"], os.getcwd()
        return self._task.remote(command, str(output.resolve()), path, here)

    def poll(self, handle: Any) -> int | None:
        done, _ = self._ray.wait([handle], timeout=0)
        if not done:
            return None
        try:
            return int(self._ray.get(handle))
        except self._ray.exceptions.TaskCancelledError:
            return 1
        except self._ray.exceptions.RayError:  # the node or its worker died
            return LOST

    def stop(self, handle: Any) -> None:
        self._ray.cancel(handle, force=False)

    def wait(self, handle: Any) -> None:
        self._ray.wait([handle], timeout=PATIENCE)


def _reach(address: str) -> None:
    """Ray itself tries an address for minutes.

    Raises:
        OSError: nobody answers there.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=10.0).close()
