"""one batch from config.yaml, then the active fixes and the health of the batch"""

from __future__ import annotations

import argparse
from typing import Any

from ppo.cli.flags import TRAINING

SETTINGS = TRAINING


def add_arguments(parser: Any) -> None:
    parser.add_argument("--batches", type=int, default=1, metavar="N", help="batches to do (1)")


def run(args: argparse.Namespace) -> int:
    from ppo.cli.console import Console
    from ppo.cli.flags import again, load_config
    from ppo.core.errors import UserError

    if args.batches < 1:
        raise UserError(f"--batches: {args.batches}; allowed: 1 or more")
    config = load_config(args)
    if config.system.compile == "auto":  # a few batches never repay it
        config = config.with_overrides(["system.compile=never"])
    from ppo.training.trainer import Trainer

    console = Console(verbosity=args.verbosity, total_steps=0, health=True, given=again(args))
    with Trainer(config, args.results, console=console) as trainer:
        steps = args.batches * trainer.learner.steps_per_batch
        console.expect(trainer.config.auto.steps + steps)
        trainer.train(batches=args.batches)
        return trainer.exit_status
