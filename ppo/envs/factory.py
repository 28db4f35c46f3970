"""What makes environments that are not registered: a class, a function, an instance."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import gymnasium as gym

from ppo.core.errors import UserError


class Factory(NamedTuple):
    """A class or a function that makes environments.

    Attributes:
        id: what `env.id` says: `module:name` where an import finds it, else `<module.name>`.
        call: makes one environment; with a parameter `num_envs`, so many at once.
    """

    id: str
    call: Callable[..., Any]

    @property
    def makes_all(self) -> bool:
        """Whether one call makes all environments."""
        single = isinstance(self.call, type) and issubclass(self.call, gym.Env)
        return not single and "num_envs" in _parameters(self.call)

    def make(self, kwargs: dict[str, Any], index: int) -> Any:
        """Environment `index`; a function is given the number if it has a parameter `index`."""
        numbered = not isinstance(self.call, type) and "index" in _parameters(self.call)
        return self.call(**{**({"index": index} if numbered else {}), **kwargs})


def _parameters(call: Callable[..., Any]) -> tuple[str, ...]:
    """The names of the parameters; none where Python cannot find them."""
    try:
        return tuple(inspect.signature(call).parameters)
    except (TypeError, ValueError):
        return ()


class _Lent(gym.Wrapper):
    """An environment that belongs to the user, who closes it."""

    def close(self) -> None:
        pass


class Once:
    """The call of a factory that has a single environment to give."""

    def __init__(self, env: gym.Env) -> None:
        self.env, self.given = env, False

    def __call__(self) -> gym.Env:
        if self.given:
            raise UserError(
                f"env: {type(self.env.unwrapped).__name__} was given as an instance, of which "
                f"there is one, and another one is needed here; give a factory, "
                f"{factory_of(self.env)}"
            )
        self.given = True
        return _Lent(self.env)


def factory_of(env: gym.Env) -> str:
    """The factory to write in place of this instance."""
    spec = env.spec
    registered = spec is not None and spec.id in gym.registry
    made = f'gym.make("{spec.id}")' if registered else f"{type(env.unwrapped).__name__}(...)"  # type: ignore[union-attr]
    return f"env=lambda: {made}"
