"""From the `env` section of the configuration to environments."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import torch
from gymnasium.envs.registration import EnvSpec, load_env_creator

from ppo.core.errors import UserError
from ppo.envs.base import Environments
from ppo.envs.factory import Factory
from ppo.envs.given import Given, as_vector, is_simulator, read
from ppo.envs.host.slot import Task
from ppo.envs.ids import make_all
from ppo.envs.native import REGISTRY
from ppo.envs.numbered import is_numbered, refuse_numbered
from ppo.envs.observations import ObservationEncoder
from ppo.envs.precision import precise_leaves
from ppo.envs.wrapping import KEY as WRAPPERS
from ppo.envs.wrapping import wrappers_of

if TYPE_CHECKING:
    from ppo.config import EnvConfig

# The project's own: the torch form is the original.
TORCH_BY_DEFAULT = ("DoubleIntegrator-v0", "ThreeScales-v0")


def make_environments(
    config: EnvConfig,
    *,
    run_seed: int,
    device: torch.device,
    env: Any = None,
    num_envs: int | None = None,
    first_index: int = 0,
    offset: int = 0,
    report: bool = False,
    measures: bool = False,
) -> Environments:
    """The environments of a configuration.

    Args:
        config: the `env` section.
        run_seed: seed of the run; with the environment's and the episode's index it seeds episodes.
        device: where torch-native environments live; the others hand out host tensors, or tensors
            of the device that they name.
        env: in place of `config.id`, in any form that `Trainer(..., env=...)` takes; where it is
            another environment than that of `config.id`, its arguments and wrappers are not for it.
        num_envs: in place of config.num_envs, for evaluation or one of several processes. An
            object that holds several has as many as it has.
        first_index: index of the first environment over all processes.
        offset: first number that replaces `{index}` in env.kwargs, where others are made too.
        report: gather what they report in `info` at the end of episodes.
        measures: let `auto` take worker processes where a step takes long enough.

    Raises:
        UserError: the id, the backend, the arguments or a space cannot be used; with the remedy.
    """
    num_envs = config.num_envs if num_envs is None else num_envs
    given = _read(config, env)
    if given.id != config.id:
        changes = {"id": given.id, "kwargs": {}, "wrappers": [], "wrappers_kwargs": {}}
        config = config.model_copy(update=changes)
    spec = given.source
    task = Task(
        dict(config.kwargs),
        run_seed,
        config.on_error,
        config.on_nonfinite,
        config.action_masks,
        config.frame_stack,
        offset,
        report,
        precise_of(config),
        wrappers_of(config),
    )
    backend = choose_backend(config, spec)
    if backend in ("torch", "vector", "own"):
        refuse_numbered(config.kwargs, backend)
    if backend == "own":
        if config.wrappers:
            raise UserError(
                f"{WRAPPERS}: {given.id} makes all environments at once, which has no single ones "
                "to wrap; wrap it where it is made"
            )
        return _of_own(given, config, task, num_envs, first_index)
    if backend == "torch":
        from ppo.envs.torch_env import TorchEnvironments

        native = _make_native(spec.id, config)
        leaves = ObservationEncoder(native.observation_space, spec.id).leaves
        precise_leaves(leaves, task.precise or (), spec.id)  # it has none
        return TorchEnvironments(native, num_envs, run_seed, device, first_index)
    if backend == "vector":
        from ppo.envs.vector_make import make_vector

        return make_vector(spec, task, num_envs, first_index)
    why = None  # workers are taken unasked
    if measures and backend == "sync" and config.backend == "auto":
        from ppo.envs.workers.choice import repaid

        why = repaid(spec, task, num_envs, first_index, config.workers)
    if backend == "sync" and why is None:
        from ppo.envs.host.sync import SyncEnvironments

        return SyncEnvironments(spec, task, num_envs, first_index)
    from ppo.envs.workers.async_ import AsyncEnvironments

    envs = AsyncEnvironments(
        spec,
        task,
        num_envs,
        first_index,
        workers=config.workers,
        shares=why is not None,
        step_timeout=config.step_timeout,
        reset_timeout=config.reset_timeout,
    )
    if why is not None:
        envs.notes.append(why)
    return envs


def precise_of(config: EnvConfig) -> tuple[str, ...] | None:
    """Entries whose remainders are kept, which normalization alone can use; None: auto."""
    if not config.normalize_observations:
        return ()
    return None if config.double_precision == "auto" else tuple(config.double_precision)


def _of_own(
    given: Given, config: EnvConfig, task: Task, num_envs: int, first_index: int
) -> Environments:
    """Environments that one object steps all at once: given as it is, or made here.

    Raises:
        UserError: the factory makes something else, or another number.
    """
    envs = given.source
    made = isinstance(envs, Factory)
    if made:
        envs = as_vector(make_all(envs, config.kwargs, num_envs))
    if is_simulator(envs):
        from ppo.envs.simulator import SimulatorEnvironments

        return SimulatorEnvironments(envs, given.id, task, first_index, closes=made)
    from ppo.envs.vector_make import wrap_vector

    return wrap_vector(envs, given.id, task, first_index, closes=made)


def _read(config: EnvConfig, env: Any) -> Given:
    return env if isinstance(env, Given) else read(config.id if env is None else env)


def steps_in_python(config: EnvConfig, env: Any = None) -> bool:
    """Whether each environment is an object of its own, that steps in Python.

    Args:
        env: as in `make_environments`.
    """
    return choose_backend(config, _read(config, env).source) in ("sync", "async")


def choose_backend(config: EnvConfig, spec: Any) -> str:
    """The backend that `env.backend` means: `auto` takes the fastest that gives the same data.

    Args:
        spec: the source of a `Given`; "own" is the backend of one that steps many at once.

    Raises:
        UserError: the environment has no such backend.
    """
    if not isinstance(spec, EnvSpec):
        return _backend_of_own(config, spec)
    if config.backend == "torch" and spec.id not in REGISTRY.names():
        raise UserError(
            f"env.backend: torch: there is no torch form of {spec.id} (there is of "
            f"{', '.join(REGISTRY.names())}); write auto, sync or async"
        )
    if config.backend == "vector" and spec.vector_entry_point is None:
        raise UserError(
            f"env.backend: vector: {spec.id} is registered without a vectorized form; "
            "write auto, sync or async"
        )
    if config.backend != "auto":
        return config.backend
    if config.wrappers or is_numbered(config.kwargs):
        return "sync"
    if is_atari(spec, config.kwargs):
        return "vector"
    if config.frame_stack > 1:
        return "sync"
    if spec.id in TORCH_BY_DEFAULT:
        return "torch"
    from ppo.envs.vector_make import is_exact

    return "vector" if is_exact(spec) else "sync"


def _backend_of_own(config: EnvConfig, source: Any) -> str:
    """The backend of a factory or of an object."""
    single = isinstance(source, Factory) and not source.makes_all
    allowed = ("sync", "async") if single else ()
    if config.backend not in ("auto", *allowed):
        raise UserError(
            f"env.backend: {config.backend}: {config.id} was not registered with Gymnasium; "
            f"allowed: {', '.join(('auto', *allowed))}"
        )
    return ("sync" if single else "own") if config.backend == "auto" else config.backend


def is_atari(spec: EnvSpec, kwargs: dict[str, Any]) -> bool:
    """Whether ale-py's own vectorized form, with the usual preprocessing, accepts these arguments.

    Arguments of the single form alone (obs_type, mode, ...) choose the single form.
    """
    from ppo.envs.vector_make import ATARI

    if spec.vector_entry_point != ATARI:
        return False
    known = inspect.signature(load_env_creator(ATARI)).parameters
    return all(name in known for name in kwargs)


def _make_native(env_id: str, config: EnvConfig):
    try:
        return REGISTRY.get(env_id)(**config.kwargs)
    except TypeError as error:
        raise UserError(
            f"env.kwargs: {config.kwargs}: the torch form of {env_id} cannot be made with these "
            f"({error}); env.backend: sync uses Gymnasium's own"
        ) from error
