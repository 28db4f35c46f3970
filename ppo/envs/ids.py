"""From an environment's id to the environment, with a message for every mistake."""

from __future__ import annotations

import copy
import difflib
import errno
import importlib.util
import re
from typing import Any, NamedTuple

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec

from ppo.core.blame import described
from ppo.core.errors import UserError
from ppo.core.imports import import_module
from ppo.core.program import install


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
)


def package_of(env_id: str) -> Package | None:
    """The package that an id of this form comes from."""
    return next((item for item in PACKAGES if re.match(item.pattern, env_id)), None)


def find_spec(env_id: str) -> EnvSpec:
    """The registered specification of `env_id`, after importing the package that brings it.

    Raises:
        UserError: unknown id; with the closest ones, or the package to install.
    """
    module, colon, name = env_id.partition(":")
    if colon:
        _check_form(module, name, env_id)
        import_module(module, f"env.id: {env_id}")
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
        raise UserError(f"env.id: {_unknown(env_id, error)}") from None


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


def _unknown(env_id: str, error: Exception) -> str:
    known = sorted(gym.registry)
    folded = {name.lower(): name for name in known}
    found = difflib.get_close_matches(env_id.lower(), list(folded), n=3, cutoff=0.6)
    if found:
        return f"{env_id!r} is not known; did you mean {' or '.join(folded[i] for i in found)}?"
    reason = " ".join(str(error).split())
    return (
        f"{env_id!r} is not known ({reason}); for an environment of your own write "
        "package.module:EnvId, where importing package.module registers EnvId"
    )


def make_env(spec: EnvSpec, kwargs: dict[str, Any]) -> gym.Env:
    """One environment, without Gymnasium's own checker (the slot checks every step).

    Raises:
        UserError: the constructor refuses `kwargs`, or a package is missing.
    """
    try:
        env = gym.make(spec, disable_env_checker=True, **kwargs)
    except gym.error.DependencyNotInstalled as error:
        package = package_of(spec.id)
        install = package.install if package else str(error)
        raise UserError(
            f"env.id: {spec.id} needs a package that is missing; run: {install}"
        ) from error
    except (Exception, SystemExit) as error:
        given = f" with env.kwargs {kwargs}" if kwargs else ""
        why = described(error)
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            why += '; give each a port of its own by env.kwargs, such as port: "{index+5000}"'
        raise UserError(f"env.id: {spec.id} cannot be made{given}: {why}") from error
    _check_spaces(env, spec.id)
    return env


def _check_spaces(env: gym.Env, env_id: str) -> None:
    """
    Raises:
        UserError: an attribute is no space of Gymnasium, such as one of the old gym.
    """
    for name in ("observation_space", "action_space"):
        space = getattr(env, name, None)
        if not isinstance(space, gym.Space):
            kind = f"{type(space).__module__}.{type(space).__qualname__}"
            found = "is missing" if space is None else f"is a {kind}"
            raise UserError(
                f"env.id: {env_id}: its {name} {found}; it must be one of gymnasium.spaces (those "
                "of the old package gym are others: import gymnasium as gym)"
            )


def importable(spec: EnvSpec) -> EnvSpec:
    """A copy of `spec` that names its class by a string, so that another process can find it.

    Raises:
        UserError: the class stands in the script that was started, or inside a function.
    """
    spec = copy.deepcopy(spec)
    spec.vector_entry_point = None
    entry = spec.entry_point
    if callable(entry):
        name = getattr(entry, "__qualname__", "<locals>")
        if entry.__module__ == "__main__" or "<" in name:
            raise UserError(
                f"env.backend: async: {spec.id} is defined where worker processes cannot import "
                f"it ({entry.__module__}.{name}); move it into a module of its own, or write "
                "env.backend: sync"
            )
        spec.entry_point = f"{entry.__module__}:{name}"
    return spec
