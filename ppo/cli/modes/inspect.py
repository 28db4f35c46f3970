"""measures scales before any training, and says what needs normalizing or other weights"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any


def add_arguments(parser: Any) -> None:
    parser.add_argument(
        "--steps", type=int, default=20_000, metavar="N", help="environment steps (20000)"
    )
    parser.add_argument(
        "--data", type=Path, metavar="FILE", help="inspect these demonstrations instead"
    )
    parser.add_argument("--json", action="store_true", help="print the figures as JSON alone")


def run(args: argparse.Namespace) -> int:
    from ppo.cli.flags import load_config
    from ppo.core.errors import UserError

    if args.steps < 1:
        raise UserError(f"--steps: {args.steps}; allowed: 1 or more")
    config = load_config(args)
    from ppo.cli.inspection import text_of
    from ppo.cli.stdout import kept_clean
    from ppo.runs.metrics_file import finite
    from ppo.training.inspection import inspect_data, inspect_environment

    with kept_clean(args.json):
        if args.data is not None:
            found = inspect_data(config, args.data)
        else:
            found = inspect_environment(config, args.steps)
    print(json.dumps(finite(found)) if args.json else text_of(found))
    return 0
