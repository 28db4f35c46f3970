"""When a run computes by compiled graphs: whether it does, and from which batch on.

Compiling takes a minute, so a run begins eagerly and changes to graphs when they are there. Graphs
round otherwise than eager functions do. So the batch of the change follows from the configuration
and not from the clock, and checkpoints hold it: a resumed run changes where the undisturbed one
does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from ppo.algorithm import devices
from ppo.config import Config
from ppo.core import compiling, parallel
from ppo.core.cores import num_cores
from ppo.core.errors import UserError

FIRST_ON_A_GPU = 1  # nothing is compiled meanwhile there


class Switch(NamedTuple):
    """The batch from which graphs are used, and what it was decided from."""

    compile: str  # system.compile
    total: int  # train.total_timesteps
    batch: int | None  # None: never


def of_run(
    config: Config, device: torch.device, on_device: bool = False, at_once: bool = True
) -> Switch:
    """The switch of a run that begins now, equal on all ranks.

    Args:
        on_device: environments are torch functions.
        at_once: graphs from the first batch on, where they are used at all.

    Raises:
        UserError: compiling is asked for and cannot be done here.
    """
    wanted = uses_compile(config, device, on_device)
    # Ranks may have different numbers of cores.
    wanted = wanted if at_once else bool(parallel.share_json(wanted, device))
    first = 0 if at_once else first_batch(config, device, on_device)
    return Switch(config.system.compile, config.train.total_timesteps, first if wanted else None)


def uses_compile(config: Config, device: torch.device, on_device: bool = False) -> bool:
    """Whether `system.compile` means compiled graphs for a run of this length; as `of_run`."""
    if config.system.compile == "never":
        return False
    if config.system.compile == "always":
        if obstacle := compiling.obstacle(device):
            raise UserError(f"system.compile: always: {obstacle}; allowed here: never, auto")
        return True
    if config.network.memory != "none":
        return False  # a graph of a whole sequence takes minutes to compile
    batches, num_steps, gradient_steps = _counts(config)
    left = batches - first_batch(config, device, on_device)
    counts = left, num_steps, gradient_steps, on_device
    if not compiling.repays(*counts, device.type, compiles_ahead(device)):
        return False
    return not compiling.obstacle(device)  # where nothing is found the answer takes two seconds


def first_batch(config: Config, device: torch.device, on_device: bool = False) -> int:
    """From which batch on graphs are used, where they are; at least 1."""
    if device.type != "cpu":
        return FIRST_ON_A_GPU
    products = devices.multiplications(config)
    return compiling.eager_batches(*_counts(config), on_device, products)


def compiles_ahead(device: torch.device) -> bool:
    """Whether another process compiles while this one trains."""
    return device.type == "cpu" and parallel.world_size() == 1 and num_cores() > 1


def eager_batches(config: Config, how: Switch) -> float:
    """Batches of a whole run that eager functions compute."""
    return _counts(config)[0] if how.batch is None else how.batch


def _counts(config: Config) -> tuple[float, int, int]:
    """Batches of the run, steps and gradient steps of a batch."""
    ppo = config.ppo
    batches = config.train.total_timesteps / (config.env.num_envs * ppo.num_steps)
    return batches, ppo.num_steps, ppo.num_epochs * ppo.num_minibatches


def resumed(saved: Sequence[str | int | None] | None, mine: Switch, device: torch.device) -> Switch:
    """The switch of a run that goes on.

    Args:
        saved: what its checkpoint holds; None: of an earlier version, which began with graphs.
        mine: of a run that begins now with these settings.
    """
    if saved is None:
        return mine if mine.batch is None else mine._replace(batch=0)
    then = Switch(*saved)  # type: ignore[arg-type]
    if then[:2] == mine[:2]:
        lacks = then.batch is not None and mine.batch is None and compiling.obstacle(device)
        return mine if lacks else then
    if None in (then.batch, mine.batch):
        return mine
    return mine._replace(batch=min(then.batch, mine.batch))  # type: ignore[type-var]


def lost(saved: Sequence[str | int | None] | None, now: Switch, batch: int) -> bool:
    """Whether a run that had changed to graphs before this batch goes on without."""
    return saved is not None and now.batch is None and saved[2] is not None and saved[2] < batch  # type: ignore[operator]
