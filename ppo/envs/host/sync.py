"""All environments in this process, one after the other."""

from __future__ import annotations

from typing import Any

from gymnasium.envs.registration import EnvSpec

from ppo.envs.factory import Factory
from ppo.envs.host.mujoco import make_group
from ppo.envs.host.replay import HostEnvironments
from ppo.envs.host.slot import Task


class SyncEnvironments(HostEnvironments):
    """N Gymnasium environments in a loop.

    Args:
        spec: spec of one environment.
        task: its arguments, the run's seed and what to do about faults.
        num_envs: N.
        first_index: index of the first one over all processes.
    """

    backend = "sync"

    def __init__(
        self, spec: EnvSpec | Factory, task: Task, num_envs: int, first_index: int
    ) -> None:
        self._group = make_group(spec, task, range(first_index, first_index + num_envs))
        self._describe(self._group.slots[0].env, spec.id, num_envs, task.run_seed)
        probed = self._group.probe()
        self._adopt(probed)
        shapes = self._shapes()
        self.rows = shapes.rows(bytearray(shapes.num_bytes()))
        self._group.attach(self.rows, probed)

    def _run_reset(self, episodes: list[int]) -> None:
        self._group.reset(episodes, self._parity, self.run_seed)

    def _run_step(self) -> None:
        self._group.step(self._parity)
        self._hear(*self._group.take_told())

    def _run_replay(self) -> list[bool]:
        return [self._replay_in(self._group, row) for row in range(self.num_envs)]

    def _run_call(self, method: str, args: list[Any]) -> list[Any]:
        return self._group.call(method, args)

    def close(self) -> None:
        self._group.close()
