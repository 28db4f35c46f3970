"""Runs of the command line for a few milliseconds each: forked from one process that has it all.

The process imports everything and computes nothing, so that a forked child is as good as a fresh
one. A child leads its own session, tells in shared memory what it is doing, and calls the real
`ppo.cli.main`, or runs a program of a test; the product knows nothing of this.
"""

from __future__ import annotations

import importlib
import json
import mmap
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

PHASES = ("start", "collect", "update", "metrics", "checkpoint", "evaluation", "end")
IMPORTS = [  # what a training imports on its way
    "torch._dynamo", "scipy.stats", "tensorboard.summary.writer.record_writer",
    "tensorboard.compat.proto.summary_pb2", "tensorboard.plugins.hparams.summary_v2",
    "gymnasium.envs.classic_control", "ppo.cli.modes.train", "ppo.training.trainer",
    "ppo.cli.console",
    "ppo.policies.imitation", "ppo.envs.host.sync", "ppo.envs.workers.async_", "ppo.envs.vector",
    "ppo.envs.tasks.double_integrator",
]  # fmt: skip
HANG = 120.0  # seconds after which a child counts as hung
WHOLE = 900.0  # seconds that a run may take which nobody stops


class Trial:
    """One run of the command line in a forked child."""

    def __init__(
        self, zygote: Zygote, argv: list[str], base: Path, env: dict[str, str], program: str
    ) -> None:
        self.zygote, self.stderr_path = zygote, base.with_suffix(".stderr")
        phases = base.with_suffix(".phases")
        phases.write_bytes(bytes(8 * len(PHASES) + 8))
        with phases.open("r+b") as file:
            self.shared = memoryview(mmap.mmap(file.fileno(), 0)).cast("q")
        order = {"argv": argv, "stderr": str(self.stderr_path), "phases": str(phases), "env": env,
                 "program": program}  # fmt: skip
        self.pid = zygote.ask({"do": "start", **order})

    @property
    def phase(self) -> str:
        """What it is doing now, or was when it died; `other` once it has begun to train."""
        begun = self.shared[0] == 0 and self.entered("collect") > 0
        return "other" if begun else PHASES[self.shared[0]]

    def entered(self, phase: str) -> int:
        """How often it has begun to do that."""
        return self.shared[1 + PHASES.index(phase)]

    def until(self, phase: str, times: int = 1) -> bool:
        """Waits for it to begin that for the n-th time; False if it ends before."""
        while self.entered(phase) < times:
            if self.is_over():
                return False
            time.sleep(1e-4)
        return True

    def is_over(self) -> bool:
        try:
            stat = Path(f"/proc/{self.pid}/stat").read_text()
        except FileNotFoundError:
            return True
        return stat.rpartition(")")[2].split()[0] in "ZX"

    def send(self, number: int, group: bool = False) -> None:
        (os.killpg if group else os.kill)(self.pid, number)

    def wait(self, seconds: float = HANG) -> int:
        """Its exit status, negative for a signal."""
        return self.zygote.ask({"do": "wait", "pid": self.pid}, self.pid, seconds)

    @property
    def stderr(self) -> str:
        return self.stderr_path.read_text()


class Zygote:
    """The process from which trials are forked."""

    def __enter__(self) -> Zygote:
        here = Path(__file__)
        paths = [here.parents[2], here.parent]
        self.folder = tempfile.TemporaryDirectory()
        self.count = 0
        self.process = subprocess.Popen(
            [sys.executable, str(here)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths)),
                 "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()
        self.folder.cleanup()

    def start(self, argv: list[str], program: str = "", **env: str) -> Trial:
        """A run of the command line, or of the file `program` with these words."""
        self.count += 1
        return Trial(self, argv, Path(self.folder.name) / str(self.count), env, program)

    def ranks(self, argv: list[str], count: int = 2, program: str = "") -> list[Trial]:
        """As many ranks as torchrun would start."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        world = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        return [
            self.start(argv, program, RANK=str(r), LOCAL_RANK=str(r), **world) for r in range(count)
        ]

    def run(self, argv: list[str]) -> tuple[int, str]:
        """Exit status and stderr of a run that nobody disturbs."""
        trial = self.start(argv)
        return trial.wait(WHOLE), trial.stderr

    def ask(self, order: dict[str, Any], pid: int | None = None, seconds: float = HANG) -> int:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(order).encode() + b"\n")
        self.process.stdin.flush()
        if not select.select([self.process.stdout], [], [], seconds)[0]:
            if pid is not None:
                os.killpg(pid, signal.SIGKILL)
            raise AssertionError(f"no end after {seconds:g} s")
        return int(self.process.stdout.readline())


# ---- in the zygote and its children


def serve() -> None:
    orders, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb", buffering=0)
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    os.dup2(nowhere, 1)
    for name in IMPORTS:
        importlib.import_module(name)
    import no_waiting
    import torch

    from ppo.runs import provenance

    torch.set_num_threads(1)
    no_waiting.begin()
    provenance.collect()  # so that it is known in each child
    for line in orders:
        order = json.loads(line)
        if order["do"] == "wait":
            status = os.waitstatus_to_exitcode(os.waitpid(order["pid"], 0)[1])
            answers.write(f"{status}\n".encode())
            continue
        pid = os.fork()
        if pid == 0:
            answers.close()
            orders.close()
            child(order)
        answers.write(f"{pid}\n".encode())


def child(order: dict[str, Any]) -> None:
    os.setsid()
    out = os.open(order["stderr"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(out, 2)
    os.environ.update(order["env"])
    with open(order["phases"], "r+b") as file:
        mark_phases(memoryview(mmap.mmap(file.fileno(), 0)).cast("q"))
    from ppo.cli import main

    status = 70
    try:
        if order["program"]:
            sys.argv = [order["program"], *order["argv"]]
            runpy.run_path(order["program"], run_name="__main__")
            status = 0
        else:
            status = main(order["argv"])
    except Exception:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def mark_phases(shared: Any) -> None:
    """Tell in shared memory what is being done, by wrapping the methods that do it."""
    from ppo.algorithm.rollout.players import HostPlayer, NativePlayer
    from ppo.algorithm.update import Update
    from ppo.training.evaluations import RunEvaluations
    from ppo.training.trainer import Trainer

    def wrap(owner: Any, name: str, phase: str) -> None:
        number, method = PHASES.index(phase), getattr(owner, name)

        def marked(*args: Any, **kwargs: Any) -> Any:
            before, shared[0] = shared[0], number
            shared[1 + number] += 1
            try:
                return method(*args, **kwargs)
            finally:
                shared[0] = before

        setattr(owner, name, marked)

    for owner, name, phase in (
        (HostPlayer, "play", "collect"), (NativePlayer, "play", "collect"),
        (Update, "__call__", "update"), (Trainer, "_write", "metrics"),
        (Trainer, "_save", "checkpoint"), (RunEvaluations, "play", "evaluation"),
        (Trainer, "_end", "end"),
    ):  # fmt: skip
        wrap(owner, name, phase)


def waits(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether it becomes true in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


if __name__ == "__main__":
    serve()
