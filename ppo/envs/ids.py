"""From an environment's id to the environment, with a message for every mistake."""

from __future__ import annotations

import errno
import functools
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec

from ppo.core.blame import described, raised
from ppo.core.errors import UserError
from ppo.core.imports import import_module, sources
from ppo.core.program import install
from ppo.core.registry import alike
from ppo.envs.factory import Factory


class Package(NamedTuple):
    """A package that registers environments."""

    module: str
    pattern: str  # pattern of its ids
    install: str
    registers: bool = True  # importing it registers its ids


PACKAGES = (
    Package("ale_py", r"ALE/|\w+(-ram)?(NoFrameskip|Deterministic)-v[045]", install("atari")),
    Package("minigrid", r"(MiniGrid|BabyAI)-", "pip install minigrid"),
    Package(
        "highway_env",
        r"(highway|merge|roundabout|parking|intersection|racetrack|exit|lane-keeping|two-way|u-turn)"
        r"[\w-]*-v\d",
        "pip install highway-env",
    ),
    Package("Box2D", r"(LunarLander|BipedalWalker|CarRacing)", install("box2d"), registers=False),
    Package(
        "mujoco",
        r"(HalfCheetah|Hopper|Walker2d|Ant|Humanoid|HumanoidStandup|Swimmer|Reacher|Pusher"
        r"|InvertedPendulum|InvertedDoublePendulum)-v\d",
        install("mujoco"),
        registers=False,
    ),
    Package("jax", "(phys2d|tabular)/", install("jax"), registers=False),
)


MAX_NAMES = 12  # of a module in a message


def package_of(env_id: str) -> Package | None:
    """The package that an id of this form comes from."""
    return next((item for item in PACKAGES if re.match(item.pattern, env_id)), None)


def find_spec(env_id: str) -> EnvSpec | Factory:
    """The registered specification of `env_id`, after importing the package that brings it.

    `package.module:name` is an id that importing the module registers, or else a class, a factory
    or an id that the module has under this name.

    Raises:
        UserError: unknown id; with the closest ones, or the package to install.
    """
    if env_id.startswith("<"):
        raise UserError(
            f"env.id: {env_id} is an object of the program that trained; give it again: "
            "Trainer(..., env=...), evaluate(policy, env=...)"
        )
    given, (module, colon, name) = env_id, env_id.partition(":")
    if colon:
        _check_form(module, name, env_id)
        import_module(module, f"env.id: {env_id}")
        if name not in gym.registry:
            found = named_in(module, name)
            if isinstance(found, str):
                return find_spec(found)
            if callable(found):
                return Factory(env_id, found)
            if found is not None:
                raise UserError(
                    f"env.id: {env_id} is an object of type {type(found).__name__}; name a class, "
                    "an id, or a function that makes environments"
                )
        env_id = name
    package = package_of(env_id)
    if package and package.registers and env_id not in gym.registry:
        if importlib.util.find_spec(package.module) is None:
            raise UserError(
                f"env.id: {env_id} needs the package {package.module}, which is not installed; "
                f"run: {package.install}"
            )
        import_module(package.module, f"env.id: {env_id}")
    try:
        return gym.spec(env_id)
    except gym.error.Error as error:
        what = _unknown_in(module, name, error) if colon else _unknown(env_id, error)
        raise UserError(f"env.id: {given}: {what}" if colon else f"env.id: {what}") from None


def _check_form(module: str, name: str, env_id: str) -> None:
    """
    Raises:
        UserError: what stands before the colon is no dotted path of a module.
    """
    if name and all(part.isidentifier() for part in module.split(".")) and module[-3:] != ".py":
        return
    dotted = module.removesuffix(".py").removeprefix("./").replace("/", ".").removeprefix(".")
    good = name and all(part.isidentifier() for part in dotted.split("."))
    hint = f"write {dotted}:{name}" if good else "write package.module:EnvId"
    raise UserError(f"env.id: {env_id}: a module is named by its dotted path; {hint}")


def named_in(module: str, name: str) -> Any:
    """What a module, which is imported, has under a name, dots included; None: nothing."""
    try:
        return functools.reduce(getattr, name.split("."), sys.modules[module])
    except AttributeError:
        return None


def _unknown_in(module: str, name: str, error: Exception) -> str:
    """What to say of a name that a module, which is imported, does not have."""
    kinds = _environments_of(module)
    every = [item for items in kinds.values() for item in items]
    if near := alike(name, every, 1, 0.7):
        return f"the module {module} has no {name}; did you mean {module}:{near[0]}?"
    if alike(name, list(gym.registry), 1, 0.6):
        return _unknown(name, error)
    if not every:
        return (
            f"the module {module} has no {name}, and no environments: it defines no class of "
            "gymnasium.Env and registers no id"
        )
    has = [f"{', '.join(items[:MAX_NAMES])} ({kind})" for kind, items in kinds.items() if items]
    return f"the module {module} has no {name}; it has {', '.join(has)}"


def _environments_of(module: str) -> dict[str, list[str]]:
    """What a module, which is imported, offers as an environment, by its form."""
    own = {
        name: item
        for name, item in vars(sys.modules[module]).items()
        if not name.startswith("_") and getattr(item, "__module__", None) == module
    }
    kinds = [name for name, item in own.items() if isinstance(item, type)]
    return {
        "classes": [name for name in kinds if issubclass(own[name], gym.Env)],
        "functions": [
            name
            for name, item in own.items()
            if inspect.isfunction(item) and re.search("make|build|create|env", name, re.I)
        ],
        "ids": [name for name, spec in gym.registry.items() if _comes_from(spec, module)],
    }


def _comes_from(spec: EnvSpec, module: str) -> bool:
    entry = spec.entry_point
    home = entry.partition(":")[0] if isinstance(entry, str) else getattr(entry, "__module__", "")
    return home == module or str(home).startswith(f"{module}.")


def _unknown(env_id: str, error: Exception) -> str:
    module, dot, name = env_id.rpartition(".")
    if dot and all(part.isidentifier() for part in env_id.split(".")) and sources(module):
        return (
            f"{env_id!r} is not known; a name in a module stands behind a colon; write "
            f"{module}:{name}"
        )
    if found := alike(env_id, sorted(gym.registry), 3, 0.6):
        return f"{env_id!r} is not known; did you mean {' or '.join(found)}?"
    reason = " ".join(str(error).split())
    return (
        f"{env_id!r} is not known ({reason}); for an environment of your own write "
        "package.module:EnvId, where importing package.module registers EnvId"
    )


def make_env(spec: EnvSpec | Factory, kwargs: dict[str, Any], index: int = 0) -> gym.Env:
    """One environment, without Gymnasium's own checker (the slot checks every step).

    Args:
        index: its number, for a factory with a parameter of this name.

    Raises:
        UserError: the constructor refuses `kwargs`, or a package is missing.
    """

    def make() -> Any:
        if isinstance(spec, Factory):
            return spec.make(kwargs, index)
        return gym.make(spec, disable_env_checker=True, **kwargs)

    env = _made(spec.id, kwargs, make)
    if not isinstance(env, gym.Env):
        raise UserError(
            f"env.id: {spec.id} made an object of type {type(env).__name__}, which is no "
            "gymnasium.Env; a factory of many environments has a parameter num_envs"
        )
    check_spaces(env, spec.id, ("observation_space", "action_space"))
    return env


def make_all(factory: Factory, kwargs: dict[str, Any], num_envs: int) -> Any:
    """What a factory of many environments makes.

    Raises:
        UserError: it refuses `kwargs`, or has made another number.
    """
    given = {"num_envs": num_envs, **kwargs}
    envs = _made(factory.id, given, lambda: factory.call(**given))
    if getattr(envs, "num_envs", None) != num_envs:
        found = getattr(envs, "num_envs", f"an object of type {type(envs).__name__}")
        raise UserError(
            f"env.id: {factory.id} was asked for {num_envs} environments (num_envs) and made "
            f"{found}"
        )
    return envs


def _made(env_id: str, kwargs: dict[str, Any], make: Callable[[], Any]) -> Any:
    """
    Raises:
        UserError: the constructor refuses `kwargs`, or a package is missing.
    """
    try:
        return make()
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        if missing := _missing(env_id, error):
            raise UserError(
                f"env.id: {env_id} needs a package that is missing; run: {missing}"
            ) from error
        given = f" with env.kwargs {kwargs}" if kwargs else ""
        why = described(error)
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            why += '; give each a port of its own by env.kwargs, such as port: "{index+5000}"'
        raise UserError(f"env.id: {env_id} cannot be made{given}: {why}") from error


def _missing(env_id: str, error: BaseException) -> str:
    """What installs the package whose absence an error tells of; empty where it does not."""
    package = package_of(env_id)
    if isinstance(error, gym.error.DependencyNotInstalled):
        return package.install if package else str(error)
    absent = error.name if isinstance(error, ModuleNotFoundError) else None
    return package.install if package and package.module == absent else ""


def check_spaces(env: Any, env_id: str, names: Iterable[str]) -> None:
    """
    Raises:
        UserError: an attribute is no space of Gymnasium, such as one of the old gym.
    """
    for name in names:
        try:
            space = getattr(env, name)
            kind = f"{type(space).__module__}.{type(space).__qualname__}"
            found = "is missing" if space is None else f"is a {kind}"
        except Exception as error:
            absent = isinstance(error, AttributeError) and error.name == name
            space, found = None, "is missing" if absent else raised(error)
        if not isinstance(space, gym.Space):
            raise UserError(
                f"env.id: {env_id}: its {name} {found}; it must be one of gymnasium.spaces (those "
                "of the old package gym are others: import gymnasium as gym)"
            )
