"""run folders side by side: tables in the terminal, and one self-contained HTML page"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ppo.core.errors import UserError

if TYPE_CHECKING:
    from ppo.insight.comparison.compare import Comparison

COMMON = ("--results",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The mode's own flags."""
    parser.add_argument("runs", metavar="RUN", nargs="+", help="run0007, latest, paths, other logs")
    parser.add_argument(
        "--group", metavar="REGEX", help="runs in whose name it finds the same text are one group"
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="write the page there")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write the figures there")


def run(args: argparse.Namespace) -> int:
    """Prints the comparison and writes what is asked for."""
    from ppo.insight.comparison.compare import compare
    from ppo.insight.comparison.tables import print_tables, write_csv
    from ppo.insight.logs import find_run

    comparison = compare([find_run(name, args.results) for name in args.runs], args.group)
    print_tables(comparison)
    if args.csv:
        _write(write_csv, comparison, args.csv)
    if args.html:
        from ppo.insight.comparison.page import write_html

        _write(write_html, comparison, args.html)
        print(f"page: {args.html}")
    return 0


def _write(write: Callable[[Comparison, Path], None], comparison: Comparison, file: Path) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write(comparison, file)
    except OSError as fault:
        raise UserError(f"{file}: cannot be written ({fault.strerror or fault})") from None
