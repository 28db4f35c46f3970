"""Jobs as tasks of a Ray cluster."""

from __future__ import annotations

import logging
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ppo.core.errors import UserError
from ppo.core.program import install
from ppo.insight.experiments.launchers.base import (
    FORCE,
    LOST,
    PATIENCE,
    Launcher,
    environment,
    run_here,
)

# What of the working directory and of PYTHONPATH travels; data do not.
SOURCES = {".py", ".pyi", ".yaml", ".yml", ".json", ".toml", ".txt", ".csv", ".xml", ".so", ".md"}
LARGEST_FILE, LARGEST = 2**20, 50 * 2**20  # bytes
LEFT_OUT = ("__pycache__", "node_modules", "site-packages", "training_results")


class RayLauncher(Launcher):
    """Tasks of a running Ray cluster; all nodes share the results.

    A node that has not the working directory, or a folder of PYTHONPATH, under the same path works
    in a copy of its sources, which travels with the job (Ray's `runtime_env`).

    Args:
        gpus: that a job takes beside its CPU; a fraction is allowed.
    """

    def __init__(self, address: str = "auto", gpus: float = 0.0) -> None:
        try:
            import ray
        except ImportError:
            raise UserError(f'--launcher ray needs the extra "ray": {install("ray")}') from None
        self._ray, self._share = ray, {"CPU": 1.0, "GPU": gpus}
        self._here, self._path = os.getcwd(), environment()["PYTHONPATH"]
        self._copies: dict[str, str] = {}
        if not ray.is_initialized():
            try:
                _reach(address)
                with tempfile.TemporaryDirectory() as staged:
                    places = [self._here, *self._path.split(os.pathsep)]
                    self._copies = pack(places, Path(staged))
                    ray.init(
                        address=address,
                        log_to_driver=False,
                        logging_level=logging.ERROR,
                        runtime_env={"working_dir": staged},
                    )
            except (OSError, ValueError, RuntimeError) as error:
                raise UserError(
                    f"--launcher ray: no cluster at {address!r} ({str(error).splitlines()[0]}); "
                    "start one with: ray start --head"
                ) from None
        self._task = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=0)(run_here)

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
        place = str(output.resolve())
        return self._task.remote(command, place, self._path, self._here, self._copies)

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
        # The node itself kills the command after PATIENCE; without its worker nobody would.
        done, _ = self._ray.wait([handle], timeout=PATIENCE + FORCE)
        if not done:
            self._ray.cancel(handle, force=True)
            self._ray.wait([handle], timeout=FORCE)


def pack(places: Sequence[str], target: Path) -> dict[str, str]:
    """Copies the sources in these folders; the name of each copy inside `target`.

    A folder with more than there is room for stays behind: all nodes must share it.
    """
    copies, room = {}, LARGEST
    for number, place in enumerate(dict.fromkeys(places)):
        sources = list(_sources(place))
        size = sum(source.stat().st_size for source in sources)
        if size > room:
            continue
        room -= size
        copies[place] = f"place{number}"
        (target / copies[place]).mkdir(parents=True)
        for source in sources:
            copy = target / copies[place] / source.relative_to(place)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, copy)
    return copies


def _sources(place: str) -> Iterator[Path]:
    """Small files of code and settings; no more than could travel."""
    left = LARGEST
    for folder, inner, names in os.walk(place):
        inner[:] = [name for name in inner if name[0] != "." and name not in LEFT_OUT]
        for name in names:
            source = Path(folder, name)
            if left < 0 or source.suffix not in SOURCES or not source.is_file():
                continue
            size = source.stat().st_size
            if size <= LARGEST_FILE:
                left -= size
                yield source


def _reach(address: str) -> None:
    """Ray itself tries an address for minutes.

    Raises:
        OSError: nobody answers there.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=10.0).close()
