"""lists settings: tier, default, range, meaning, source; filtered by a word"""

from __future__ import annotations

import argparse
import dataclasses
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ppo.config.listing import Setting

COMMON = ()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("word", metavar="WORD", nargs="?", help="part of a name or of a meaning")
    parser.add_argument("--json", action="store_true", help="a list of objects on stdout")


def run(args: argparse.Namespace) -> int:
    """Prints the settings whose name or meaning holds the word."""
    from ppo.config import Config
    from ppo.config.listing import matching
    from ppo.core.screen import fold

    found = matching(Config, args.word)
    if args.json:
        print(json.dumps([dataclasses.asdict(setting) for setting in found], indent=1))
        return 0
    for setting in found:
        print(fold(text_of(setting), further=0))
    return 0


def text_of(setting: Setting) -> str:
    """A setting in three lines."""
    from ppo.config.file import text_of as value_text

    lines = [
        f"{setting.name}: {value_text(setting.default)}  ({setting.tier})",
        f"    {setting.meaning}",
        f"    {setting.allowed}" + (f"; {setting.source}" if setting.source else ""),
    ]
    return "\n".join(lines)
