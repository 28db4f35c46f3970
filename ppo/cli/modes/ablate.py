"""trains every combination (or leave-one-out) of toggles over several seeds; writes the matrix"""

from __future__ import annotations

import argparse

from ppo.cli.flags import TRAINING
from ppo.cli.modes._grid import GRID_FLAGS, add_common, run_grid

COMMON, SETTINGS = GRID_FLAGS, TRAINING


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--toggle",
        nargs="+",
        action="extend",
        required=True,
        metavar="KEY=V1,V2",
        help="settings and their values; the first value is the base",
    )
    design = parser.add_mutually_exclusive_group()
    design.add_argument(
        "--leave-one-out", action="store_true", help="the base, and one toggle changed at a time"
    )
    design.add_argument(
        "--one-at-a-time", action="store_true", help="all last values, and one toggle changed"
    )
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    """Trains the grid and prints its matrix."""
    design = "leave_one_out" if args.leave_one_out else "full"
    return run_grid(args, args.toggle, "one_at_a_time" if args.one_at_a_time else design)
