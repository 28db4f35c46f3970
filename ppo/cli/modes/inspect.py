"""scales before any training: what needs normalizing or other weights"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

COMMON = ("--config", "--set", "--seed", "--quiet")
STEPS = 20_000
SETTINGS = (
    "env", "network", "ppo", "balancing", "auxiliary", "imitation", "train.total_timesteps",
    "system",
)  # fmt: skip


def add_arguments(parser: Any) -> None:
    parser.add_argument("--steps", type=int, metavar="N", help=f"environment steps ({STEPS})")
    parser.add_argument(
        "--data", type=Path, metavar="FILE", help="inspect these demonstrations instead"
    )
    parser.add_argument("--json", action="store_true", help="print the figures as JSON alone")


def run(args: argparse.Namespace) -> int:
    from ppo.cli.flags import load_config
    from ppo.core.errors import UserError

    steps = STEPS if args.steps is None else args.steps
    if steps < 1:
        raise UserError(f"--steps: {steps}; allowed: 1 or more")
    if args.data is not None and args.steps is not None:
        raise UserError("--steps: with --data nothing is stepped; leave one out")
    config = load_config(args)
    from ppo.cli.inspection import text_of
    from ppo.cli.stdout import kept_clean
    from ppo.runs.metrics_file import finite
    from ppo.training.inspection import inspect_data, inspect_environment

    with kept_clean(args.json):
        if args.data is not None:
            found = inspect_data(config, args.data)
        else:
            found = inspect_environment(config, steps)
    print(json.dumps(finite(found)) if args.json else text_of(found))
    return 0
