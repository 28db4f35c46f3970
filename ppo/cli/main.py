"""The command line: which mode, with which settings, and what exit status each end has.

0 done; 1 the run could not go on; 2 the user's mistake; 4 diverged; 130 after Ctrl-C.
Nothing here imports torch: help and mistakes answer at once.
"""

from __future__ import annotations

import argparse
import errno
import os
import shlex
import sys
import traceback
from collections.abc import Collection, Sequence
from pathlib import Path
from types import ModuleType

import ppo
from ppo.cli import modes
from ppo.cli.flags import COMMON, Group, Parser, add_common, refuse_settings
from ppo.core import program, screen
from ppo.core.errors import Diverged, RunError, UserError, one_line
from ppo.core.registry import nearest
from ppo.runs.names import results_folder

OUT_OF_MEMORY = "out of memory; smaller env.num_envs, ppo.num_steps or network.hidden_sizes"
# Trouble of the machine that a traceback would not explain any better.
_MACHINE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one mode; returns the exit status and never lets an exception out."""
    _open_closed()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a name the terminal cannot show is no reason to die
            stream.reconfigure(errors="backslashreplace")
    try:
        status = _run(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
        return status
    except SystemExit as end:  # argparse after --help
        return end.code if isinstance(end.code, int) else 1
    except KeyboardInterrupt as stop:
        return _say(130, str(stop) or "interrupted")
    except BrokenPipeError:  # `| head` has seen enough
        _silence_stdout()
        return 0
    except UserError as error:
        return _say(error.exit_status, *error.messages)
    except (RunError, Diverged) as error:
        return _say(error.exit_status, str(error))
    except MemoryError:
        return _say(1, OUT_OF_MEMORY)
    except ModuleNotFoundError as error:
        return _say_missing(error)
    except Exception as error:
        return _say_unexpected(error)


def _run(argv: list[str]) -> int:
    first = Parser(add_help=False)
    first.add_argument("--mode")
    first.add_argument("--print-completion")
    chosen, rest = first.parse_known_args(argv)
    if "--version" in rest:
        print(program.version())
        return 0
    if chosen.mode is None and argv and argv[0] in modes.names():
        mode, *others = argv
        raise UserError(f"{mode}: write {program.command(mode, *map(shlex.quote, others))}")
    if chosen.mode is None and ("-h" in rest or "--help" in rest):
        _parser(None).print_help()
        return 0
    if chosen.print_completion is not None:
        from ppo.cli.completion import script

        print(script(chosen.print_completion, _parser(None)))
        return 0
    other = program.clash()
    if other:
        print(f"note: {other}", file=sys.stderr)
    args, module = parse(argv, chosen.mode or modes.DEFAULT)
    return int(module.run(args) or 0)


def parse(argv: list[str], mode: str) -> tuple[argparse.Namespace, ModuleType]:
    """The arguments of a mode, and its module.

    Raises:
        UserError: one line for each word that the mode does not take.
    """
    module = modes.load(mode)
    parser = _parser(mode, getattr(module, "COMMON", tuple(COMMON)))
    module.add_arguments(Group(parser, parser.add_argument_group(f"flags of --mode {mode}")))
    args, extra = parser.parse_known_args(argv)
    flags = [word for word in extra if word.startswith("-") and len(word) > 1]
    if unknown := flags or extra:  # the value of a flag is not counted as a word of its own
        raise UserError(*(_unknown(word, mode, parser, argv) for word in unknown))
    results_folder(args.results)  # whatever the mode does first, an address is refused at once
    args.mode = mode
    refuse_settings(args, getattr(module, "SETTINGS", None))
    args.verbosity = "verbose" if args.verbose else "quiet" if args.quiet else "normal"
    return args, module


def _parser(mode: str | None, used: Collection[str] = tuple(COMMON)) -> Parser:
    """The common flags that are used; without a mode, the modes are listed below the help."""
    lines = _modes() if mode is None else []
    about = "PPO with a value function that holds when returns get large."
    if mode is not None:
        about = screen.fold(modes.summary(mode), further=0)
    ending = "modes:\n" + "\n".join(lines) + "\n\n--mode MODE --help shows the flags of a mode"
    started = program.started_as()
    parser = Parser(
        prog=started,
        description=about,
        epilog=ending if mode is None else None,
        usage=f"{started} --mode {mode or 'MODE'} [flags]",
    )
    parser.add_argument("--mode", default=modes.DEFAULT, help=f"what to do ({modes.DEFAULT})")
    parser.add_argument("--version", action="store_true", help="print the version")
    parser.add_argument(
        "--print-completion", metavar="SHELL", help="completion for bash, zsh or tcsh"
    )
    add_common(parser, used)
    return parser


def _modes() -> list[str]:
    """A line, or a few, for each mode."""
    names = modes.names()
    longest = max(map(len, names))
    columns = min(screen.width(), screen.WIDEST)
    lines: list[str] = []
    for name in names:
        start = f"  {name:<{longest}}  "
        lines += screen.wrapped(modes.summary(name), columns, start, " " * len(start))
    return lines


def _unknown(word: str, mode: str, parser: Parser, argv: list[str]) -> str:
    """The message on a word of `argv` that no flag takes."""
    flag = word.partition("=")[0]
    if not flag.startswith("-"):
        if "=" in word:
            return f"{word}: write --set {word}"
        if word in modes.names():
            return f"{word}: write --mode {word}"
        return f"{word}: --mode {mode} takes no such argument (see --mode {mode} --help)"
    if flag in COMMON:
        return f"{flag}: --mode {mode} does not use it (see --mode {mode} --help)"
    owners = modes.owners(flag)
    if owners:
        return f"{flag} belongs to --mode {', '.join(owners)}, not to --mode {mode}"
    known = [name for name in parser.names() if name.startswith("--")]
    meant = nearest(flag[2:], [name[2:] for name in known]).replace("you mean ", "you mean --")
    if "--set" in known and (setting := _setting(word, argv)):
        meant = f"; write --set {shlex.quote(setting)}"
    return f"{flag}: unknown flag{meant} (see --mode {mode} --help)"


def _setting(word: str, argv: list[str]) -> str:
    """`KEY=VALUE` of a flag that is a setting, with the value that follows it; or nothing."""
    from ppo.config import Config
    from ppo.config.words import flag_as_setting

    flag, equals, value = word.partition("=")
    following = argv[argv.index(word) + 1 :]
    if not equals and following and not following[0].startswith("--"):
        value = following[0]
    return flag_as_setting(Config, flag, value or None)


def _say(status: int, *messages: str) -> int:
    """Each message as one `error:` line on stderr; returns `status`."""
    try:
        for message in messages:
            for line in message.split("\n"):
                print(f"error: {one_line(line)}", file=sys.stderr)
        sys.stderr.flush()
    except BrokenPipeError:
        pass
    return status


def _say_missing(error: ModuleNotFoundError) -> int:
    """A package that this Python lacks, often because another one was meant, in one line."""
    importer = traceback.extract_tb(error.__traceback__)[-1].filename
    package = (error.name or "").partition(".")[0]
    if package in ("", "ppo") or not Path(importer).is_relative_to(Path(ppo.__file__).parent):
        return _say_unexpected(error)
    other = ".venv/bin/python"
    start = f"start it with {other}, or run: " if Path(other).exists() else "run: "
    return _say(2, f"{package} is not installed for {sys.executable}; {start}{program.install()}")


def _say_unexpected(error: Exception) -> int:
    """Trouble of the machine or of the user's code in one line; ours with what helps to mend it."""
    if isinstance(error, OSError) and error.errno in _MACHINE:
        where = f"{error.filename}: " if error.filename else ""
        return _say(1, f"{where}{error.strerror}")
    if isinstance(error, RuntimeError) and "can't allocate memory" in str(error):  # torch's words
        return _say(1, OUT_OF_MEMORY)
    from ppo.core.blame import described, is_of_users  # takes a while

    if is_of_users(error):
        return _say(1, described(error))
    traceback.print_exception(error)
    print(f"internal error: {type(error).__name__}: {error}", file=sys.stderr)
    return 1


def _open_closed() -> None:
    """Gives a program that was started without stdout or stderr (`>&-`) one that nobody reads.

    A file of the run would take the number of the closed one, and what is printed would go there.
    """
    for number, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:
            unread = os.open(os.devnull, os.O_WRONLY)
            if unread != number:
                os.dup2(unread, number)
                os.close(unread)
            setattr(sys, name, open(number, "w", closefd=False))  # noqa: SIM115


def _silence_stdout() -> None:
    """Keeps the interpreter from complaining about a closed pipe when it ends."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError, AttributeError):
        pass
