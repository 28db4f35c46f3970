"""What all modes share: the parser, and the configuration that the common flags describe."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from ppo.core import screen
from ppo.core.errors import UserError

if TYPE_CHECKING:
    from ppo.config import Config


class _Once(argparse.Action):
    """A flag whose second value would replace the first, where others merge files."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option: Any = None) -> None:
        if getattr(namespace, self.dest) is not None:
            raise UserError(f"{option} {values}: given twice; put one file's lines into the other")
        setattr(namespace, self.dest, values)


DEFAULT_CONFIG = "config.yaml"
# The common flags with their options; a mode that uses some of them only names these in `COMMON`.
COMMON: dict[str, dict[str, Any]] = {
    "--config": {
        "metavar": "FILE",
        "action": _Once,
        "help": f"settings ({DEFAULT_CONFIG} of this folder, if there)",
    },
    "--set": {
        "metavar": "KEY=VALUE",
        "dest": "overrides",
        "action": "append",
        "default": [],
        "help": "override a setting, such as ppo.learning_rate=1e-3; may be repeated",
    },
    "--results": {
        "metavar": "FOLDER",
        "type": Path,
        "default": Path("training_results"),
        "help": "where runs are kept (training_results)",
    },
    "--seed": {"type": int, "metavar": "N", "help": "sets system.seed"},
    "--verbose": {"action": "store_true", "help": "print more, such as the losses of a batch"},
    "--quiet": {"action": "store_true", "help": "print only the end"},
}

# Sections of the configuration that training reads.
TRAINING = (
    "env", "network", "ppo", "balancing", "auxiliary", "train", "evaluation", "logging", "system",
)  # fmt: skip


class _Help(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28, width=min(screen.width(), screen.WIDEST))


class Parser(argparse.ArgumentParser):
    """An argument parser whose mistakes are UserErrors of one line.

    Attributes:
        flags: what it takes, in order; argparse itself does not list it.
    """

    def __init__(self, **options: Any) -> None:
        self.flags: list[argparse.Action] = []  # first: argparse adds --help at once
        super().__init__(allow_abbrev=False, formatter_class=_Help, **options)

    def add_argument(self, *names: Any, **options: Any) -> argparse.Action:
        self.flags.append(super().add_argument(*names, **options))
        return self.flags[-1]

    def names(self) -> list[str]:
        """Every spelling of its flags."""
        return [name for flag in self.flags for name in flag.option_strings]

    def error(self, message: str) -> NoReturn:
        text = message.removeprefix("argument ")
        text = text.replace("invalid int value:", "must be a whole number, not")
        text = text.replace("invalid float value:", "must be a number, not")
        raise UserError(f"{text} (see --help)")


class Group:
    """A group of a parser's flags, which the parser lists too."""

    def __init__(self, parser: Parser, group: Any) -> None:
        self._parser, self._group = parser, group

    def add_argument(self, *names: Any, **options: Any) -> argparse.Action:
        self._parser.flags.append(self._group.add_argument(*names, **options))
        return self._parser.flags[-1]

    def add_mutually_exclusive_group(self, **options: Any) -> Group:
        return Group(self._parser, self._group.add_mutually_exclusive_group(**options))


def add_common(parser: Parser, used: Collection[str] = tuple(COMMON)) -> None:
    """The common flags that a mode uses; the others get their defaults and are refused."""
    volume = Group(parser, parser.add_mutually_exclusive_group())
    for flag, options in COMMON.items():
        name = options.get("dest", flag.removeprefix("--"))
        if flag not in used:
            unset = False if options.get("action") == "store_true" else None
            parser.set_defaults(**{name: options.get("default", unset)})
            continue
        group: Any = volume if flag in ("--verbose", "--quiet") else parser
        group.add_argument(flag, **options)


def refuse_settings(args: argparse.Namespace, used: Collection[str] | None) -> None:
    """Refuses every --set that the mode has no use for.

    Args:
        used: the sections, or settings of them, that it reads; None: all.
    """
    if used is None or not args.overrides:
        return
    from ppo.config import Config

    unused = {
        f"{name}.{key}"
        for name, field in Config.model_fields.items()
        for key in getattr(field.annotation, "model_fields", ())
        if name not in used and f"{name}.{key}" not in used
    }
    unused |= set(Config.model_fields) - {name.partition(".")[0] for name in used}
    wrong = [text for text in args.overrides if _setting(text) in unused]
    if wrong:
        reads = ", ".join(name if "." in name else f"{name}.*" for name in used)
        raise UserError(
            *(
                f"--set {text}: --mode {args.mode} does not use it (it uses {reads})"
                for text in wrong
            )
        )


def _section(text: str) -> str:
    return text.partition("=")[0].partition(".")[0].strip()


def _setting(text: str) -> str:
    """`section.key` of KEY=VALUE, also of one entry of a dict, such as env.kwargs.size=3."""
    return ".".join(text.partition("=")[0].strip().split(".")[:2])


def add_trust(parser: Any) -> None:
    """The flag of modes that read the configuration of a run folder."""
    parser.add_argument(
        "--trust", action="store_true", help="import the code that a run of somebody else names"
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
        path = find(path, "--config ")
    elif Path(DEFAULT_CONFIG).exists():
        path = Path(DEFAULT_CONFIG)
    config = Config.load(path, overrides=overrides(args))
    if path is None and args.verbosity != "quiet":
        print(f"no {DEFAULT_CONFIG} in this folder: the defaults are used", file=sys.stderr)
    return config


def again(args: argparse.Namespace, used: Collection[str] | None = None) -> list[str]:
    """The words of a command line that give another mode the same configuration and folder.

    Args:
        used: the sections that the other mode reads; None: all.
    """
    words = [] if args.config is None else ["--config", str(args.config)]
    kept = [text for text in overrides(args) if used is None or _section(text) in used]
    words += [word for text in kept for word in ("--set", text)]
    if args.results != COMMON["--results"]["default"]:
        words += ["--results", str(args.results)]
    return [shlex.quote(word) for word in words]


def overrides(args: argparse.Namespace) -> list[str]:
    """The KEY=VALUE settings of the command line; --seed is one of them."""
    seed = [] if args.seed is None else [f"system.seed={args.seed}"]
    return [*args.overrides, *seed]
