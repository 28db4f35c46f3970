"""Compiles the functions of a run in another process while the run goes on.

That process builds the same learner on environments in which nothing happens, and does one batch
with graphs. What remains of it is torch's cache of compiled code on disk, where the run finds its
own. A run depends on this in its speed alone: without it, or after it has failed, graphs are
compiled where they are needed. What has been compiled to the end leaves a mark in the cache, and
the next run of these settings starts no process.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import ppo
from ppo.algorithm import build, switch
from ppo.algorithm.learner import Learner
from ppo.config import Config
from ppo.core import compiling
from ppo.core.companion import Companion
from ppo.envs.stand_in import StandIn, shape_of

LONGEST = 600.0  # seconds to wait for it; then graphs are compiled here


class Ahead:
    """The process beside a run that compiles its graphs, where there is need of one."""

    def __init__(self, learner: Learner) -> None:
        self.learner = learner
        self.process: Companion | None = None
        self._batches = 0  # that this process has begun

    def before_batch(self, poll: Callable[[], None]) -> None:
        """Starts the process before the second batch, and waits for it before graphs are needed.

        The first batch is not slowed down, and a run of a single one compiles nothing.

        Args:
            poll: called while waiting; it may raise an error.
        """
        batch, first = self.learner.counters["batch"], self.learner.switch.batch
        if first is None or batch > first:
            return
        if batch == first:
            self._wait(poll)
        elif self._batches == 1:
            self._start()
        self._batches += 1

    def _start(self) -> None:
        learner = self.learner
        if not switch.compiles_ahead(learner.device) or not _can_be_elsewhere(learner):
            return
        compiling.keep_compiled_code()  # both look in one place
        request = request_of(learner)
        if request["mark"] and Path(request["mark"]).exists():
            return
        try:
            self.process = Companion("ppo.algorithm.ahead:compile_all", request)
        except Exception:  # a space that cannot be pickled, no memory for a process
            self.process = None

    def _wait(self, poll: Callable[[], None]) -> None:
        end = time.monotonic() + LONGEST
        try:
            while self.process and self.process.works and time.monotonic() < end:
                poll()
                time.sleep(0.02)
        finally:
            self.close()

    def close(self) -> None:
        """Ends the process and the compilers that it has started; harmless when repeated."""
        process, self.process = self.process, None
        if process is not None:
            process.close()


def _can_be_elsewhere(learner: Learner) -> bool:
    """Whether another process has these environments, where they are compiled, or a stand-in."""
    compiled_too = learner.collector.envs.backend == "torch"
    return not compiled_too or not learner.config.env.id.startswith("<")


def request_of(learner: Learner) -> dict[str, Any]:
    """What another process needs to compile what this learner does."""
    envs, current = learner.collector.envs, learner.collector.current
    assert current is not None
    shape = None if envs.backend == "torch" else shape_of(envs, current)
    mark = mark_of(learner.config, tuple(current.shape))
    threads = torch.get_num_threads()
    return {"config": learner.config, "threads": threads, "shape": shape, "mark": mark}


def mark_of(config: Config, shape: tuple[int, ...]) -> str | None:
    """The file that is there once all of a run with these settings is in the cache.

    Where it misleads (a user's part has changed since), the run compiles by itself.

    Args:
        shape: of its observations.
    """
    folder = os.environ.get(compiling.CACHE)
    if not folder:
        return None
    settings = config.to_dict()
    parts = [settings[name] for name in ("env", "network", "ppo", "balancing", "auxiliary")]
    sources = sorted(Path(ppo.__file__).parent.rglob("*.py"))
    code = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in sources]
    machine = platform.node(), platform.machine(), sys.version, torch.__version__
    numbers = shape, torch.get_num_threads(), config.system.precision
    text = repr((parts, code, machine, numbers))
    return str(Path(folder) / "whole" / hashlib.sha256(text.encode()).hexdigest()[:32])


def compile_all(request: dict[str, Any]) -> None:
    """Compiles all that a run does, into the cache on disk: what the other process does."""
    torch.set_num_threads(request["threads"])
    config = request["config"].with_overrides(["system.compile=always"])
    shape, device = request["shape"], torch.device("cpu")
    # Environments that are torch functions are compiled too, so they are the true ones.
    envs = StandIn(shape) if shape else build.build_environments(config, device, measures=False)
    learner = build.build_learner(config, envs, device)
    learner.collector.reset()
    learner.step()
    if request["mark"]:
        Path(request["mark"]).parent.mkdir(parents=True, exist_ok=True)
        Path(request["mark"]).touch()
