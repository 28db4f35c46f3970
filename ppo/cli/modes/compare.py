"""run folders side by side: tables in the terminal, and one self-contained HTML page"""

from __future__ import annotations

import argparse
from pathlib import Path

from ppo.core.errors import UserError

COMMON = ("--results",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", metavar="RUN", nargs="+", help="run0007, latest, paths, other logs")
    parser.add_argument(
        "--group", metavar="REGEX", help="runs in whose name it finds the same text are one group"
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="write the page there")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write the figures there")


def run(args: argparse.Namespace) -> int:
    """Prints the comparison and writes what is asked for."""
    from ppo.insight.comparison.compare import compare
    from ppo.insight.comparison.page import page
    from ppo.insight.comparison.tables import as_csv, print_tables
    from ppo.insight.logs import find_run

    comparison = compare([find_run(name, args.results) for name in args.runs], args.group)
    for file, text in ((args.csv, as_csv), (args.html, page)):
        if file:  # before the tables, of which `| head` takes no more than it wants
            _write(file, text(comparison))
    print_tables(comparison)
    if args.html:
        print(f"page: {args.html}")
    return 0


def _write(file: Path, text: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode(errors="surrogateescape"))  # of names of folders
    except OSError as fault:
        raise UserError(f"{file}: cannot be written ({fault.strerror or fault})") from None
