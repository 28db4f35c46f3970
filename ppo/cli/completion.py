"""Completion of modes, flags and settings in a shell: `ppo --print-completion bash`."""

from __future__ import annotations

import argparse
from typing import Any

from ppo.cli import modes
from ppo.cli.flags import Parser
from ppo.core.errors import UserError
from ppo.core.program import install
from ppo.core.registry import nearest


def script(shell: str, parser: Parser) -> str:
    """What a shell has to read to complete `ppo`.

    Args:
        parser: the flags that all modes share.

    Raises:
        UserError: the package shtab is missing, or has nothing for this shell.
    """
    try:
        import shtab
    except ImportError:
        raise UserError(
            f"--print-completion needs the package shtab; run: {install('completion')}"
        ) from None
    if shell not in shtab.SUPPORTED_SHELLS:
        known = list(shtab.SUPPORTED_SHELLS)
        raise UserError(
            f"--print-completion {shell}: unknown{nearest(shell, known)} "
            f"(allowed: {', '.join(known)})"
        )
    parser.prog = "ppo"
    for name in modes.names():
        modes.load(name).add_arguments(_Once(parser))
    for action in parser.flags:
        _complete(action, shtab.FILE)
    keys = f'_ppo_keys() {{ compgen -o nospace -W "{" ".join(_keys())}" -- $1; }}'
    preamble: Any = {"bash": keys}  # typed as text, and documented as a dict by shell
    return str(shtab.complete(parser, shell, preamble=preamble))


class _Once:
    """Flags of several modes in one parser, those of one name once; none is required."""

    def __init__(self, parser: Parser) -> None:
        self._parser = parser

    def add_argument(self, *names: str, **options: Any) -> None:
        if names[0].startswith("-") and names[0] not in self._parser.names():
            self._parser.add_argument(*names, **{**options, "required": False})

    def add_mutually_exclusive_group(self, **_: Any) -> _Once:
        return self


def _complete(action: argparse.Action, file: Any) -> None:
    if action.dest == "mode":
        action.choices = modes.names()
    elif action.dest == "overrides":
        action.complete = {"bash": "_ppo_keys"}  # type: ignore[attr-defined]
    elif action.metavar in ("FILE", "FOLDER"):
        action.complete = file  # type: ignore[attr-defined]


def _keys() -> list[str]:
    from ppo.config import Config
    from ppo.config.listing import settings

    return [f"{setting.name}=" for setting in settings(Config)]
