"""Kinds that can be added by adding a file: a registry names a package and finds its kinds."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Callable
from typing import Any

from ppo.core.errors import UserError


def nearest(name: str, known: list[str]) -> str:
    """A hint that names the closest known word, or an empty string."""
    found = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {found[0]}?" if found else ""


class Registry:
    """Kind -> class, filled by importing every module of a package.

    >>> scales = Registry("ppo.values", "value scale")      # doctest: +SKIP
    >>> scales.get("popart")                               # doctest: +SKIP

    Args:
        package: whose modules file the kinds; one package may have several registries.
        what: one kind is, in words, for messages.
    """

    def __init__(self, package: str, what: str = "kind") -> None:
        self.package, self.what = package, what
        self._kinds: dict[str, Any] = {}
        self._discovered = False

    def register(self, kind: str) -> Callable[[Any], Any]:
        """Decorator that files a class or a function under `kind`."""

        def keep(item: Any) -> Any:
            assert kind not in self._kinds, f"{self.package}: {self.what} {kind} is filed twice"
            self._kinds[kind] = item
            return item

        return keep

    def names(self) -> list[str]:
        """Every kind in the package, sorted."""
        self._discover()
        return sorted(self._kinds)

    def get(self, kind: str) -> Any:
        """The class filed under `kind`.

        Raises:
            UserError: `kind` is unknown; the message lists the known kinds.
        """
        self._discover()
        if kind not in self._kinds:
            known = self.names()
            choices = f"(known: {', '.join(known)})"
            raise UserError(
                f"{kind!r} is no {self.what} in {self.package}{nearest(kind, known)} {choices}"
            )
        return self._kinds[kind]

    def _discover(self) -> None:
        if self._discovered:
            return
        self._discovered = True
        folder = importlib.import_module(self.package)
        for module in pkgutil.iter_modules(folder.__path__):
            importlib.import_module(f"{self.package}.{module.name}")
