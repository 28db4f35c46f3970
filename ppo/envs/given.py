"""Every form in which a user gives an environment, read in one place.

`read` makes one thing of them, from which `make_environments` makes environments and `settle` the
settings that follow.
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec

from ppo.core.errors import UserError
from ppo.envs.factory import Factory, Once, factory_of
from ppo.envs.ids import find_spec, named_in

if TYPE_CHECKING:
    from ppo.config import Config

FORMS = (
    "a Gymnasium id, package.module:name, a class, a factory, a gymnasium.vector.VectorEnv, a "
    "ppo.envs.TorchVectorEnv or a VecEnv of Stable-Baselines3"
)
TENSORS = ("num_envs", "device", "single_observation_space", "single_action_space")


class Given(NamedTuple):
    """An environment as it was given.

    Attributes:
        id: what `env.id` says of it; in angle brackets where no other process can find it.
        source: a registration, a factory, or an object that holds all environments.
        words: the form, for provenance.json.
        num_envs: of an object that exists once; None: as many as are wanted can be made.
    """

    id: str
    source: Any
    words: str
    num_envs: int | None = None

    @property
    def is_once(self) -> bool:
        """Whether there can be no second one, such as for evaluation."""
        return self.num_envs is not None


def is_simulator(env: Any) -> bool:
    """Whether it has what a `TorchVectorEnv` has."""
    methods = all(callable(getattr(env, name, None)) for name in ("reset", "step"))
    return methods and all(hasattr(env, name) for name in TENSORS)


def saves_state(env: Any) -> bool:
    """Whether a simulator's state can be saved and loaded."""
    return all(callable(getattr(env, name, None)) for name in ("state_dict", "load_state_dict"))


def as_vector(env: Any) -> Any:
    """A VecEnv of Stable-Baselines3 as a vector environment of Gymnasium; another one as it is."""
    from ppo.envs.simulators.stable_baselines3 import VecEnvironments, is_vec_env

    return VecEnvironments(env) if is_vec_env(env) else env


def read(env: Any) -> Given:
    """
    Raises:
        UserError: it is none of the forms; or an id or a name that cannot be found.
    """
    if isinstance(env, str):
        return Given(env, find_spec(env), f"the id {env}")
    if isinstance(env, EnvSpec):
        return Given(env.id, env, f"the registration of {env.id}")
    instance = not isinstance(env, type)
    env = as_vector(env)
    # EnvPool's objects are single environments to Python, too.
    if instance and (is_simulator(env) or isinstance(env, gym.vector.VectorEnv)):
        name = _bracketed(type(getattr(env, "unwrapped", env)))
        kind = "TorchVectorEnv" if is_simulator(env) else "VectorEnv"
        return Given(name, env, f"the {kind} {name[1:-1]}", int(env.num_envs))
    if instance and isinstance(env, gym.Env):
        name = _bracketed(type(env.unwrapped))
        return Given(name, Factory(name, Once(env)), f"the instance of {name[1:-1]}", 1)
    if not callable(env):
        raise UserError(f"env: an object of type {type(env).__name__} is none; give {FORMS}")
    name = _importable_name(env) or _bracketed(env)
    kind = "the class" if isinstance(env, type) else "the factory"
    return Given(name, Factory(name, env), f"{kind} {name.strip('<>')}{_place(env)}")


def settle(config: Config, given: Given, ranks: int = 1) -> tuple[Config, list[str]]:
    """The settings with those that follow from the environment, and notes for the user.

    Args:
        ranks: processes, each of which was given as many environments.

    Raises:
        UserError: an instance for several slots, or settings that no longer fit together.
    """
    notes = []
    changes: dict[str, dict[str, Any]] = {"env": {"id": given.id}, "evaluation": {}}
    if given.is_once:
        _refuse(config, given)
        if config.evaluation.env == "separate":
            changes["evaluation"]["env"] = "same"
            notes.append(
                f"evaluation.env: same: {given.words} exists once, so evaluations are played in it"
            )
        count, wanted = (given.num_envs or 1) * ranks, config.env.num_envs
        changes["env"]["num_envs"] = count
        if "env.num_envs" not in config.open and wanted != count:
            notes.append(f"env.num_envs: {count}: {given.words} has so many, not {wanted}")
    values = config.to_dict()
    for section, found in changes.items():
        values[section].update(found)
    return type(config).from_dict(values), notes


def _refuse(config: Config, given: Given) -> None:
    """
    Raises:
        UserError: an object cannot be what the settings want of it.
    """
    source, wanted = given.source, config.env.num_envs
    given_by_user = "env.num_envs" not in config.open
    if isinstance(source, Factory) and given_by_user and wanted != 1:
        env = source.call.env  # type: ignore[attr-defined]
        raise UserError(
            f"env: an instance of {type(env.unwrapped).__name__} fills one slot, and env.num_envs "
            f"is {wanted}; give a factory, {factory_of(env)}, or write env.num_envs 1"
        )
    if config.env.wrappers:
        raise UserError(f"env.wrappers: {given.words} is made already; wrap it where it is made")
    if config.env.kwargs:
        raise UserError(
            f"env.kwargs: {given.words} is made already, so there is nothing to give "
            f"{config.env.kwargs} to"
        )


def _importable_name(made: Any) -> str | None:
    """`module:name`, where an import finds this very object."""
    module, name = getattr(made, "__module__", None), getattr(made, "__qualname__", "<")
    if module in (None, "__main__") or "<" in name or module not in sys.modules:
        return None
    return f"{module}:{name}" if named_in(module, name) is made else None


def _bracketed(made: Any) -> str:
    """`<module.name>`: a name for people."""
    kind = made if hasattr(made, "__qualname__") else type(made)
    name = kind.__qualname__.replace("<locals>.", "").replace("<lambda>", "lambda")
    return f"<{kind.__module__}.{name}>"


def _place(made: Any) -> str:
    """` (file.py:12)`, where there is one."""
    try:
        return (
            f" ({Path(inspect.getsourcefile(made) or '').name}:{inspect.getsourcelines(made)[1]})"
        )
    except (TypeError, OSError):
        return ""
