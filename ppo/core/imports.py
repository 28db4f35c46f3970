"""Code of the user's, named by its import path: how it is imported, and which source it has.

Everything that a setting names as package.module:Name comes through here. No torch.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import re
import sys
from collections.abc import Sequence
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from ppo.core.errors import UserError

FORM = "package.module:Class"
PATTERN = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$"


def is_path(kind: str) -> bool:
    """Whether a word names code by its import path; an object of a program is told as `<...>`."""
    return ":" in kind and not kind.startswith("<")


def with_colon(word: str) -> str:
    """`package.module:Name` of a dotted path of two words or more; nothing of anything else."""
    module, _, name = word.rpartition(".")
    return f"{module}:{name}" if re.match(PATTERN, f"{module}:{name}") else ""


def load(path: str, key: str) -> Any:
    """What package.module:Name names, imported.

    Args:
        key: the setting that names it, for messages.

    Raises:
        UserError: it cannot be imported; with the line of the user's code that fails.
    """
    module, _, name = path.partition(":")
    place = f"{key}: {path}"
    if not (module and name.isidentifier()):
        raise UserError(f"{place}: write {FORM}")
    found = import_module(module, place)
    if not hasattr(found, name):
        known = [word for word, item in vars(found).items()
                 if isinstance(item, type) and item.__module__ == found.__name__]  # fmt: skip
        has = f"; its classes: {', '.join(known)}" if known else ""
        raise UserError(f"{place}: the module {module} has no {name}{has}")
    return getattr(found, name)


def import_module(module: str, place: str) -> Any:
    """Imports it from where Python looks, or else from the working directory.

    Raises:
        UserError: there is none, or it fails; says where.
    """
    from ppo.core.blame import described

    search_here()
    if module == "__main__":
        raise UserError(
            f"{place}: the script that was started has another name for other processes; write the"
            " name of its file without .py"
        )
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        known = module == error.name or module.startswith(f"{error.name}.")
        missing = "" if known else f", which needs {error.name},"
        raise UserError(
            f"{place}: the module {module}{missing} cannot be found; give the dotted path of a "
            "module that can be imported from the working directory"
        ) from error
    except (Exception, SystemExit) as error:
        raise UserError(f"{place}: importing the module {module} raised {described(error)}") from (
            error
        )


def search_here() -> None:
    """Let Python look in the working directory, behind all other places."""
    try:
        here = os.getcwd()
    except OSError:  # it is gone: an environment went into a folder of its own and deleted it
        return
    if here not in sys.path:  # a program's own folder stands there, or "", which may move
        sys.path.append(here)


def search_path() -> list[str]:
    """Where Python looks, for another process; what is no text in sys.path it passes over."""
    return [place for place in sys.path if isinstance(place, str)]


# ---- sources, found without running anything


def sources(module: str) -> list[Path]:
    """The files that importing `module` runs: its packages' and its own. Nothing is imported.

    Empty where it cannot be found, or has no file.
    """
    search_here()
    head, *rest = module.split(".")
    try:
        spec = importlib.util.find_spec(head)
    except (ImportError, ValueError):
        return []
    files: list[Path] = []
    places: Sequence[str] = sys.path
    for depth, word in enumerate([head, *rest]):
        if depth:
            # By its last word alone: by its whole name Python would ask for the parent's module.
            spec = PathFinder.find_spec(word, places)
        if spec is None or spec.origin in ("built-in", "frozen"):
            return []
        if spec.origin is not None:
            files.append(Path(spec.origin))
            places = spec.submodule_search_locations or []
        else:  # a folder without __init__.py
            inner = [os.path.join(place, word) for place in places]
            places = [place for place in inner if os.path.isdir(place)]
    return files


def digest(path: str) -> str | None:
    """SHA-256 of the sources of package.module:Name; None where they are not found."""
    files = sources(path.partition(":")[0])
    sha = hashlib.sha256()
    try:
        for file in files:
            sha.update(hashlib.sha256(file.read_bytes()).digest())
    except OSError:
        return None
    return sha.hexdigest() if files else None
