"""One file per --mode. A mode is found by its file name and imported where it is chosen.

A mode module has a docstring whose first line is its help text, `add_arguments(parser)` for its own
flags, and `run(args) -> int` that returns the exit status. It imports torch inside `run` only, so
that `--help` answers at once. `COMMON` names the common flags that it uses, where these are not
all, and `SETTINGS` the sections of the configuration, or settings of them: what a mode does not use
is refused.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import importlib
from pathlib import Path
from types import ModuleType

from ppo.cli.flags import Group, Parser
from ppo.core.errors import UserError
from ppo.core.registry import nearest

DEFAULT = "single_batch"


def names() -> list[str]:
    """Every mode: the files of this folder that do not start with an underscore."""
    return sorted(_files(), key=lambda name: (name != DEFAULT, name))


@functools.cache
def summary(mode: str) -> str:
    """The first line of a mode's docstring, read without importing it."""
    tree = ast.parse(_files()[mode].read_text(encoding="utf-8"))
    return (ast.get_docstring(tree) or "").partition("\n")[0]


def flags(mode: str) -> list[str]:
    """The flags that a mode adds; none where it cannot be imported, which its own use tells."""
    parser = Parser(add_help=False)
    with contextlib.suppress(ImportError):
        load(mode).add_arguments(Group(parser, parser))
    return parser.names()


def owners(flag: str) -> list[str]:
    """The modes that have `flag`."""
    return [mode for mode in names() if flag in flags(mode)]


def load(mode: str) -> ModuleType:
    """The module of a mode.

    Raises:
        UserError: there is no such mode; the message names the closest.
    """
    known = names()
    if mode not in known:
        raise UserError(f"--mode {mode}: unknown{nearest(mode, known)} (known: {', '.join(known)})")
    return importlib.import_module(f"{__name__}.{mode}")


def _files() -> dict[str, Path]:
    found = (file for folder in __path__ for file in Path(folder).glob("*.py"))
    return {file.stem: file for file in found if not file.stem.startswith("_")}
