"""Environments in supervised worker processes, several in each; some in this one, where it shares.

A worker that dies is replaced and its environments' running episodes are played again, which
changes no bit of the data. One that hangs is killed and replaced likewise. Every call ends in a
result or in an error that names the environment.
"""

from __future__ import annotations

import contextlib
import mmap
import subprocess
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from gymnasium.envs.registration import EnvSpec

from ppo.core.cores import num_cores
from ppo.core.errors import EnvironmentFault, UserError
from ppo.envs.base import episode_seed
from ppo.envs.changed import refuse_unlike
from ppo.envs.factory import Factory
from ppo.envs.host.mujoco import make_group
from ppo.envs.host.replay import HostEnvironments
from ppo.envs.host.slot import Probed, Task, make_task_env
from ppo.envs.host.slot_group import SlotGroup
from ppo.envs.portable import to_text
from ppo.envs.workers.inquiry import Recover, Watch, ask
from ppo.envs.workers.supervisor import (
    CLOSE_SECONDS,
    WorkerDied,
    WorkerProcess,
    anonymous_memory,
)
from ppo.envs.workers.worker import STEP
from ppo.envs.wrapping import closing

MAX_DEATHS = 3  # of workers within
DEATH_WINDOW = 200  # steps


class AsyncEnvironments(HostEnvironments):
    """N Gymnasium environments in worker processes.

    Args:
        spec: spec of one environment, or what makes it.
        task: its arguments, the run's seed and what to do about faults.
        num_envs: N.
        first_index: index of the first one over all processes of the trainer.
        workers: processes; 0: one per core, at most N.
        shares: this process is one of them. Its share is as in `sync`: nothing replaces it.
        step_timeout: seconds for one step of one environment.
        reset_timeout: seconds for making and first resetting one environment.

    Raises:
        UserError: the environment cannot be rebuilt in another process.
    """

    backend = "async"

    def __init__(
        self,
        spec: EnvSpec | Factory,
        task: Task,
        num_envs: int,
        first_index: int = 0,
        *,
        workers: int = 0,
        shares: bool = False,
        step_timeout: float = 60.0,
        reset_timeout: float = 300.0,
    ) -> None:
        self._workers: list[WorkerProcess] = []
        self._own: list[SlotGroup] = []  # of the first environments, where this process has some
        self._spec, self._task, self._first_index = spec, task, first_index
        self._step_timeout, self._reset_timeout = step_timeout, reset_timeout
        self._deaths: deque[int] = deque(maxlen=MAX_DEATHS)  # steps at which workers died
        self._text = to_text(spec)
        self._seed = task.run_seed
        with contextlib.chdir("."):  # workers start from here, wherever it goes
            with closing(make_task_env(spec, task, first_index)) as env:  # it is never stepped
                self._describe(env, spec.id, num_envs, task.run_seed)
        self._memory = anonymous_memory()
        self._ready = False  # whether `rows` is there
        self._steps = 0
        try:
            self._start(min(workers or num_cores(), num_envs), shares)
        except BaseException:
            self.close()
            raise

    def _start(self, count: int, shares: bool) -> None:
        bounds = [self.num_envs * i // count for i in range(count + 1)]
        parts = list(zip(bounds[:-1], bounds[1:], strict=True))
        own = parts.pop(0)[1] if shares else 0
        for number, (start, stop) in enumerate(parts):
            self._workers.append(WorkerProcess(number, start, stop, self._memory.fileno()))

        def make_own() -> None:
            first = self._first_index
            if own:
                self._own.append(make_group(self._spec, self._task, range(first, first + own)))

        made = self._ask(self._workers, self._send_make, self._reset_timeout, None, make_own)
        for worker, spaces in zip(self._workers, made, strict=True):
            numbers = self._first_index + worker.start, self._first_index
            own_spaces = self.observation_space, self.action_space
            refuse_unlike(self._spec.id, spaces, own_spaces, numbers)
        self._probed = self._own[0].probe() if self._own else self._probe_worker()
        self._adopt(self._probed)
        shapes = self._shapes()
        self._memory.truncate(shapes.num_bytes())
        self.rows = shapes.rows(mmap.mmap(self._memory.fileno(), shapes.num_bytes()))
        self._ready = True
        for group in self._own:
            group.attach(self.rows.part(0, own), self._probed)
        self._ask(self._workers, self._send_attach, self._reset_timeout)

    def _probe_worker(self) -> Probed:
        first = self._workers[0]
        return Probed(*self._ask([first], lambda w: w.send("probe"), self._reset_timeout)[0])

    def _send_make(self, worker: WorkerProcess) -> None:
        first = self._first_index
        worker.send(
            "make",
            spec=self._text,
            task=self._task,
            first=first + worker.start,
            stop=first + worker.stop,
        )

    def _send_attach(self, worker: WorkerProcess) -> None:
        worker.send(
            "attach",
            shapes=self._shapes(),
            probed=self._probed,
            start=worker.start,
            stop=worker.stop,
        )

    def _run_reset(self, episodes: list[int]) -> None:
        def send(worker: WorkerProcess) -> None:
            worker.send(
                "reset",
                episodes=episodes[worker.start : worker.stop],
                parity=self._parity,
                run_seed=self.run_seed,
            )

        def reset_own() -> None:
            for group in self._own:
                group.reset(episodes[: len(group.slots)], self._parity, self.run_seed)

        self._seed = self.run_seed
        recover = partial(self._replace, parity=None)
        self._ask(self._workers, send, self._reset_timeout, recover, reset_own)

    def _run_step(self) -> None:
        request = STEP[self._parity]

        def step_own() -> None:
            for group in self._own:
                group.step(self._parity)
                self._hear(*group.take_told())

        recover = partial(self._replace, parity=self._parity ^ 1)
        self.rows.terminated[:] = self.rows.truncated[:] = False
        self._ask(
            self._workers, lambda w: w.send_raw(request), self._step_timeout, recover, step_own
        )
        self._steps += 1

    def _run_replay(self) -> list[bool]:
        self._seed = self.run_seed
        complete = [True] * self.num_envs
        for group in self._own:
            for row in range(len(group.slots)):
                complete[row] = self._replay_in(group, row)
        for turn in range(max(w.stop - w.start for w in self._workers)):
            some = [w for w in self._workers if w.start + turn < w.stop]

            def send(worker: WorkerProcess, turn: int = turn) -> None:
                self._send_replay(worker, worker.start + turn, self._parity)

            for worker, whole in zip(some, self._ask(some, send, self._step_timeout), strict=True):
                complete[worker.start + turn] = whole
        return complete

    def _run_call(self, method: str, args: list[Any]) -> list[Any]:
        recover = partial(self._replace, parity=self._parity)
        gave = [answer for group in self._own for answer in group.call(method, args)]
        send = _to_call(method, args)
        parts = self._ask(self._workers, send, self._step_timeout, recover)
        for part in parts:
            if "message" in part:
                raise (UserError if part["mistake"] else EnvironmentFault)(part["message"])
        return gave + [answer for part in parts for answer in part["gave"]]

    def _send_replay(self, worker: WorkerProcess, env: int, parity: int) -> None:
        worker.send(
            "replay",
            row=env - worker.start,
            episode=int(self._log.episodes[env]),
            actions=self._log.actions(env).tolist(),
            parity=parity,
            run_seed=self._seed,
            calls=self._calls_of(env),
        )

    def _ask(
        self,
        workers: list[WorkerProcess],
        send: Callable[[WorkerProcess], None],
        timeout: float,
        recover: Recover | None = None,
        meanwhile: Callable[[], None] | None = None,
    ) -> list[Any]:
        """The answers of `ask`, whose events and reports have been taken over.

        These are in the order of `sync`, whichever worker was fastest.
        """
        watch = Watch(self._begun, self._doing)
        answers = ask(workers, send, timeout, watch, recover, meanwhile)
        for answer in answers:
            self._hear(*answer["told"])
        return [answer["answer"] for answer in answers]

    def _begun(self, worker: WorkerProcess) -> int:
        """A number that grows with every step and reset that the worker begins."""
        return int(self.rows.progress[worker.start : worker.stop].max()) if self._ready else 0

    def _doing(self, worker: WorkerProcess) -> str:
        """The worker's last known activity."""
        if not self._begun(worker):
            return f"making environment {self._first_index + worker.start} ({self._spec.id})"
        env = worker.start + int(self.rows.progress[worker.start : worker.stop].argmax())
        index, episode = self._first_index + env, int(self._log.episodes[env])
        if self.rows.terminated[env] or self.rows.truncated[env]:
            doing, episode = "the reset for", episode + 1
        else:
            doing = f"step {self._log.length(env) + 1} of"
        seed = episode_seed(self._seed, index, episode)
        return f"environment {index} ({self._spec.id}), {doing} episode {episode} (seed {seed})"

    def _replace(self, worker: WorkerProcess, why: str, parity: int | None) -> None:
        """A new process in place of a dead one, brought to the same state.

        Args:
            parity: parity of the observations that running episodes are at; None: a reset is to
                follow, and only the calls are made again.

        Raises:
            EnvironmentFault: workers die too often.
        """
        while True:
            worker.kill()
            if len(self._deaths) == MAX_DEATHS and self._steps - self._deaths[0] < DEATH_WINDOW:
                raise EnvironmentFault(
                    f"worker {worker.number} died ({why}); that is {MAX_DEATHS + 1} workers in "
                    f"{DEATH_WINDOW} steps. With env.backend: sync the fault shows in this process"
                )
            self._deaths.append(self._steps)
            self.rows.progress[worker.start : worker.stop] = 0
            worker.launch()
            try:
                self._ask([worker], self._send_make, self._reset_timeout, _report)
                self._ask([worker], self._send_attach, self._reset_timeout, _report)
                if parity is None:
                    replayed = 0
                    for _, method, args in self._calls:
                        self._ask([worker], _to_call(method, args), self._step_timeout, _report)
                else:
                    replayed = self._replay_all(worker, parity)
            except WorkerDied as death:
                why = str(death)
                continue
            self.events.append(
                f"worker {worker.number} died ({why}), replaced, {replayed} steps replayed"
            )
            return

    def _replay_all(self, worker: WorkerProcess, before: int) -> int:
        """Plays the running episodes of a new worker; how many steps that took.

        Args:
            before: parity of the observations that they had reached.
        """
        replayed = 0
        for env in range(worker.start, worker.stop):
            there = self.rows.obs[before, env].copy()

            def send(worker: WorkerProcess, env: int = env) -> None:
                self._send_replay(worker, env, before)

            whole = self._ask([worker], send, self._step_timeout, _report)[0]
            replayed += self._log.length(env)
            if not whole or self.rows.obs[before, env].tobytes() != there.tobytes():
                self.events.append(
                    f"environment {self._first_index + env} is not deterministic: after its "
                    "worker was replaced, its episode went another way"
                )
        return replayed

    def close(self) -> None:
        """Requests all workers to exit, and kills those that do not within 2 s."""
        for worker in self._workers:
            worker.close()
        deadline = time.monotonic() + CLOSE_SECONDS
        for worker in self._workers:
            try:
                worker.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                pass  # `kill` is next
            worker.kill()
        self._workers = []
        for group in self._own:
            group.close()
        self._memory.close()


def _to_call(method: str, args: list[Any]) -> Callable[[WorkerProcess], None]:
    return lambda worker: worker.send("call", method=method, args=args)


def _report(worker: WorkerProcess, why: str) -> None:
    raise WorkerDied(why)
