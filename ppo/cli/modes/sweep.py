"""one or two settings over a list of values x seeds, as a table or heat map"""

from __future__ import annotations

import argparse

from ppo.cli.flags import TRAINING
from ppo.cli.modes._grid import GRID_FLAGS, add_common, run_grid

COMMON, SETTINGS = GRID_FLAGS, TRAINING


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--vary",
        nargs="+",
        action="extend",
        required=True,
        metavar="KEY=V1,V2,...",
        help="one or two settings and their values",
    )
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    """Trains the grid and prints its matrix."""
    from ppo.core.errors import UserError

    if len(args.vary) > 2:
        raise UserError(f"--vary: {len(args.vary)} settings; allowed: 1 or 2 (see --mode ablate)")
    return run_grid(args, args.vary, "full")
