"""Wrappers around each environment, named by `env.wrappers`: Gymnasium's or the user's own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec

from ppo.core import imports
from ppo.core.blame import described
from ppo.core.errors import UserError
from ppo.envs.factory import Factory
from ppo.envs.ids import make_env
from ppo.envs.numbered import filled

if TYPE_CHECKING:
    from ppo.config import EnvConfig

KEY = "env.wrappers"
Wrapping = tuple[str, dict[str, Any]]  # package.module:Class and its arguments


def wrappers_of(config: EnvConfig) -> tuple[Wrapping, ...]:
    """From the environment outwards."""
    arguments = config.wrappers_kwargs
    return tuple((path, arguments.get(path.partition(":")[2], {})) for path in config.wrappers)


def wrapped(env: gym.Env, wrappers: Sequence[Wrapping], number: int = 0) -> gym.Env:
    """The environment inside its wrappers.

    Args:
        number: of the environment, which replaces `{index}` in their arguments.

    Raises:
        UserError: one cannot be imported or made, or makes no environment.
    """
    for path, kwargs in wrappers:
        place = f"{KEY}: {path}"
        make = imports.load(path, KEY)
        try:
            made = make(env, **filled(kwargs, number))
        except (Exception, SystemExit) as error:
            given = f"env.wrappers_kwargs.{path.partition(':')[2]}: {kwargs or 'none'}"
            raise UserError(f"{place} cannot be made with {given}: {described(error)}") from error
        if not isinstance(made, gym.Env):
            raise UserError(
                f"{place} made an object of type {type(made).__name__}, which is no gymnasium.Env"
            )
        env = made
    return env


def make_single(config: EnvConfig, source: EnvSpec | Factory, **kwargs: Any) -> gym.Env:
    """One environment in its wrappers, to look at or to draw; without a stack of frames.

    Args:
        kwargs: arguments besides `env.kwargs`.
    """
    env = make_env(source, {**filled(config.kwargs, 0), **kwargs})
    return wrapped(env, wrappers_of(config))


@contextlib.contextmanager
def closing(env: gym.Env) -> Iterator[gym.Env]:
    """An environment that is closed at the end; an error of its `close` takes nothing away."""
    try:
        yield env
    finally:
        with contextlib.suppress(Exception, SystemExit):
            env.close()
