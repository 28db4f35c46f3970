"""Whether worker processes repay themselves, by the time that a step of an environment takes here.

The data are the same either way, so that a measured time may decide.
"""

from __future__ import annotations

import statistics
import time

from gymnasium.envs.registration import EnvSpec

from ppo.core.cores import num_cores
from ppo.core.errors import UserError
from ppo.envs.factory import Factory
from ppo.envs.host.slot import Task, make_task_env
from ppo.envs.portable import to_text
from ppo.envs.wrapping import closing

LEAST_STEP = 3e-4  # seconds; shorter steps on a busy machine look like this
LEAST_SAVED = 1e-3  # seconds in a step of all environments; several times what processes cost in it
MOST_STEP = 1.0  # seconds; longer steps may meet env.step_timeout
TRIAL_STEPS, TRIAL_SECONDS = 20, 0.3


def repaid(
    spec: EnvSpec | Factory, task: Task, num_envs: int, index: int, workers: int
) -> str | None:
    """Why worker processes are faster, in words; None if they are not, or cannot be used.

    Args:
        index: of the environment that is made, tried and closed.
        workers: processes that may be used, this one among them; 0: one per core.
    """
    count = min(workers or num_cores(), num_envs)
    if count < 2 or not isinstance(spec, EnvSpec):
        return None
    try:
        to_text(spec)
    except UserError:
        return None
    seconds = seconds_of_a_step(spec, task, index)
    saved = seconds * num_envs * (1 - 1 / count)
    if not LEAST_STEP <= seconds <= MOST_STEP or saved < LEAST_SAVED:
        return None
    return (
        f"env.backend: auto: a step of {spec.id} takes {1000 * seconds:.1f} ms, so {count} "
        "processes, this one among them, share the environments (the data are those of sync)"
    )


def seconds_of_a_step(spec: EnvSpec, task: Task, index: int) -> float:
    """Median time of a few steps with random actions; 0 where they cannot be made."""
    found: list[float] = []
    try:
        with closing(make_task_env(spec, task, index)) as env:
            env.reset(seed=task.run_seed)
            env.action_space.seed(0)
            end = time.perf_counter() + TRIAL_SECONDS
            while len(found) < TRIAL_STEPS and time.perf_counter() < end:
                action, begin = env.action_space.sample(), time.perf_counter()
                _, _, terminated, truncated, _ = env.step(action)
                found.append(time.perf_counter() - begin)
                if terminated or truncated:
                    env.reset()
    except (Exception, SystemExit):
        return 0.0  # in this process the fault is reported best
    return statistics.median(found) if found else 0.0
