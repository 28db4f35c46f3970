"""Kinds that can be added by adding a file: a registry names a folder and finds what it holds."""

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
    """Kind -> class for one plural folder, filled by importing every module of that folder.

    >>> scales = Registry("ppo.values.scales")      # doctest: +SKIP
    >>> scales.get("popart")                       # doctest: +SKIP
    """

    def __init__(self, package: str) -> None:
        self.package = package
        self._kinds: dict[str, Any] = {}
        self._discovered = False

    def register(self, kind: str) -> Callable[[Any], Any]:
        """Decorator that files a class or a function under `kind`."""

        def keep(item: Any) -> Any:
            assert kind not in self._kinds, f"{self.package}: {kind} is registered twice"
            self._kinds[kind] = item
            return item

        return keep

    def names(self) -> list[str]:
        """Every kind in the folder, sorted."""
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
            raise UserError(f"{kind!r} is not in {self.package}{nearest(kind, known)} {choices}")
        return self._kinds[kind]

    def _discover(self) -> None:
        if self._discovered:
            return
        self._discovered = True
        folder = importlib.import_module(self.package)
        for module in pkgutil.iter_modules(folder.__path__):
            importlib.import_module(f"{self.package}.{module.name}")
