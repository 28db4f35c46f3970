"""Kinds by name: filed in a package by adding a file to it, or the user's own by import path."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Callable
from typing import Any

from ppo.core import imports
from ppo.core.errors import UserError


def alike(name: str, known: list[str], count: int, cutoff: float) -> list[str]:
    """The known words that are most like this one, whatever its capitals."""
    spelled = {word.casefold(): word for word in known}
    found = difflib.get_close_matches(name.casefold(), list(spelled), n=count, cutoff=cutoff)
    return [spelled[word] for word in found]


def nearest(name: str, known: list[str]) -> str:
    """A hint that names the closest known word, or an empty string."""
    found = alike(name, known, 1, 0.5)
    return f"; did you mean {found[0]}?" if found else ""


class Part:
    """A kind and its options: called, it makes one.

    Attributes:
        place: the setting and its value, for messages.
        kind: the class.
        own: whether it is the user's.
    """

    def __init__(self, place: str, kind: Any, kwargs: dict[str, Any], own: bool) -> None:
        self.place, self.kind, self.kwargs, self.own = place, kind, kwargs, own

    def __call__(self, *args: Any, **more: Any) -> Any:
        """
        Raises:
            UserError: the user's class refuses its arguments.
        """
        if not self.own:
            return self.kind(*args, **more)
        options = {**self.kwargs, **more}
        return self.run(self._made_with(options), self.kind, *args, **options)

    def run(self, what: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """What the user's function gives.

        Raises:
            UserError: it raised an exception; with its place.
        """
        from ppo.core.blame import described, place_of

        try:
            return function(*args, **kwargs)
        except UserError as error:
            raise UserError(*(f"{self.place}: {line}" for line in error.messages)) from error
        except Exception as error:
            where = "" if place_of(error) else self.where
            raise UserError(f"{self.place}: {what} raised {described(error)}{where}") from error

    def error(self, text: str) -> UserError:
        """A mistake in the class, with its place."""
        return UserError(f"{self.place}: {text}{self.where}")

    @property
    def where(self) -> str:
        """` (file:line)` of the class, where it is known."""
        from ppo.core.blame import place_of_class

        found = place_of_class(self.kind)
        return f" ({found})" if found else ""

    def _made_with(self, options: dict[str, Any]) -> str:
        return f"{self.kind.__name__}(" + ", ".join(f"{k}={v!r}" for k, v in options.items()) + ")"


class Registry:
    """Kind -> class, filled by importing every module of a package.

    >>> scales = Registry("ppo.values", "value scale")      # doctest: +SKIP
    >>> scales.get("popart")                               # doctest: +SKIP

    Args:
        package: whose modules file the kinds; one package may have several registries.
        what: one kind is, in words, for messages.
        key: the setting that names a kind; its options are in `<key>_kwargs`.
        base: module:Class that the user's own kinds derive from; none: there are no own kinds.
    """

    def __init__(self, package: str, what: str = "kind", key: str = "", base: str = "") -> None:
        self.package, self.what, self.key, self._base = package, what, key, base
        self._kinds: dict[str, Any] = {}
        self._discovered = False

    def register(self, kind: str) -> Callable[[Any], Any]:
        """Decorator that files a class or a function under `kind`."""

        def keep(item: Any) -> Any:
            assert kind not in self._kinds, f"{self.package}: {self.what} {kind} is filed twice"
            self._kinds[kind] = item
            return item

        return keep

    @property
    def base(self) -> Any:
        """What every own kind derives from."""
        module, _, name = self._base.partition(":")
        return getattr(importlib.import_module(module), name)

    def names(self) -> list[str]:
        """Every kind in the package, sorted."""
        self._discover()
        return sorted(self._kinds)

    def get(self, kind: str) -> Any:
        """The class filed under `kind`, or the user's that it names as package.module:Class.

        Raises:
            UserError: `kind` is unknown; the message lists the known kinds.
        """
        self._discover()
        if self._base and imports.is_path(kind):
            return self.checked(imports.load(kind, self.key), f"{self.key}: {kind}")
        if kind not in self._kinds:
            known = self.names()
            choices = f"(known: {', '.join(known)})"
            raise UserError(
                f"{kind!r} is no {self.what} in {self.package}{nearest(kind, known)} {choices}"
            )
        return self._kinds[kind]

    def part(self, kind: str, kwargs: dict[str, Any] | None = None) -> Part:
        """The class of `get` with its options, ready to be called."""
        own = bool(self._base) and imports.is_path(kind)
        return Part(f"{self.key}: {kind}", self.get(kind), kwargs or {}, own)

    def checked(self, kind: Any, place: str) -> Any:
        """`kind`, if it may be one of this registry.

        Raises:
            UserError: it does not derive from the base.
        """
        base = self.base
        if isinstance(kind, type) and issubclass(kind, base):
            return kind
        is_class = isinstance(kind, type)
        found = f"the class {kind.__name__}" if is_class else f"a {type(kind).__name__}"
        raise UserError(
            f"{place}: must be a class that derives from {base.__name__} "
            f"(from ppo import {base.__name__}), not {found}"
        )

    def _discover(self) -> None:
        if self._discovered:
            return
        self._discovered = True
        folder = importlib.import_module(self.package)
        for module in pkgutil.iter_modules(folder.__path__):
            importlib.import_module(f"{self.package}.{module.name}")
