"""One request to several workers at once; one that is stuck is replaced."""

from __future__ import annotations

import math
import select
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ppo.core.errors import EnvironmentFault
from ppo.envs.workers.supervisor import WorkerDied, WorkerProcess

SOON = 0.05  # seconds; what takes no longer is not watched
LONGEST = 3600.0  # seconds in one call of poll, which takes no more than 2^31 milliseconds

Recover = Callable[[WorkerProcess, str], None]


class Watch(NamedTuple):
    """How a worker's progress is told."""

    begun: Callable[[WorkerProcess], int]  # grows with every step and reset that it begins
    doing: Callable[[WorkerProcess], str]  # its last known activity, in words


def ask(
    workers: Sequence[WorkerProcess],
    send: Callable[[WorkerProcess], None],
    timeout: float,
    watch: Watch,
    recover: Recover | None = None,
    meanwhile: Callable[[], None] | None = None,
) -> list[dict[str, Any]]:
    """Sends each worker a request; the answers, in the order of the workers.

    A worker has `timeout` seconds for every step or reset that it begins: one that progresses is
    slow, one that does not is stuck.

    Args:
        recover: brings back a worker that died or hung, after which it is asked again; None: that
            is an error.
        meanwhile: what this process does before it waits for the answers.

    Raises:
        EnvironmentFault, UserError: what a worker reported; or it died, or hung twice.
    """
    recover = recover or _refuse
    answers: dict[int, dict[str, Any]] = {}
    pending: dict[int, WorkerProcess] = {}  # by file descriptor
    begun: dict[int, int] = {}  # by worker, when last looked at
    stuck: set[int] = set()
    poll = select.poll()

    def request(worker: WorkerProcess) -> None:
        try:
            send(worker)
        except WorkerDied as death:
            recover(worker, str(death))
            return request(worker)
        begun.pop(worker.number, None)
        pending[worker.connection.fileno()] = worker
        poll.register(worker.connection, select.POLLIN)

    def heard(file: int) -> WorkerProcess:
        poll.unregister(file)
        return pending.pop(file)

    for worker in workers:
        request(worker)
    if meanwhile is not None:
        meanwhile()
    deadline = time.monotonic() + min(SOON, timeout)
    while pending:
        left = max(0.0, deadline - time.monotonic())
        ready = poll.poll(math.ceil(1000 * min(left, LONGEST)))
        for worker in [heard(file) for file, _ in ready]:
            try:
                answers[worker.number] = worker.receive()
            except WorkerDied as death:
                recover(worker, str(death))
                request(worker)
                deadline = time.monotonic() + min(SOON, timeout)
        if ready or time.monotonic() < deadline:
            continue
        for file, worker in list(pending.items()):
            if begun.get(worker.number) != watch.begun(worker):
                continue
            why = f"{watch.doing(worker)} gave no answer in {timeout:g} s"
            heard(file)
            worker.kill()
            if worker.number in stuck or recover is _refuse:
                raise EnvironmentFault(f"{why} (env.step_timeout, for resets env.reset_timeout)")
            stuck.add(worker.number)
            recover(worker, f"killed: {why}")
            request(worker)
        begun |= {worker.number: watch.begun(worker) for worker in pending.values()}
        deadline = time.monotonic() + timeout
    return [answers[worker.number] for worker in workers]


def _refuse(worker: WorkerProcess, why: str) -> None:
    raise EnvironmentFault(f"worker {worker.number} died ({why}) before the first step")
