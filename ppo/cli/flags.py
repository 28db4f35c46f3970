"""What all modes share: the parser, and the configuration that the common flags describe."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from ppo.core.errors import UserError

if TYPE_CHECKING:
    from ppo.config import Config

DEFAULT_CONFIG = "config.yaml"


class _Help(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28, width=100)


class Parser(argparse.ArgumentParser):
    """An argument parser whose mistakes are UserErrors of one line."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=_Help, **options)

    def error(self, message: str) -> NoReturn:
        text = message.removeprefix("argument ")
        text = text.replace("invalid int value:", "must be a whole number, not")
        text = text.replace("invalid float value:", "must be a number, not")
        raise UserError(f"{text} (see --help)")


def add_trust(parser: Any) -> None:
    """The flag of modes that read the configuration of a run folder."""
    parser.add_argument(
        "--trust",
        action="store_true",
        help="import the code that a run of somebody else names",
    )


def load_config(args: argparse.Namespace) -> Config:
    """The configuration that the common flags describe.

    Without --config, a config.yaml in the working directory is read if there is one; otherwise
    the defaults hold, which is said on stderr (stdout may be JSON).
    """
    from ppo.config import Config
    from ppo.config.shipped import find

    path = args.config
    if path is not None:
        path = find(path)
    elif Path(DEFAULT_CONFIG).exists():
        path = Path(DEFAULT_CONFIG)
    config = Config.load(path, overrides=overrides(args))
    if path is None and args.verbosity != "quiet":
        print(f"no {DEFAULT_CONFIG} in this folder: the defaults are used", file=sys.stderr)
    return config


def overrides(args: argparse.Namespace) -> list[str]:
    """The KEY=VALUE settings of the command line; --seed is one of them."""
    seed = [] if args.seed is None else [f"system.seed={args.seed}"]
    return [*args.overrides, *seed]
