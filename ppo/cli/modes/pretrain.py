"""imitation: warm start of the actor from a file of demonstrations"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ppo.core.figures import number
from ppo.core.screen import fold

COMMON = ("--config", "--set", "--results", "--seed", "--quiet")
SETTINGS = (
    "env", "network", "balancing", "imitation", "evaluation.episodes", "evaluation.max_steps",
    "system",
)  # fmt: skip


def add_arguments(parser: Any) -> None:
    parser.add_argument(
        "--data", type=Path, metavar="FILE", help="demonstrations: .npz, .hdf5, .safetensors"
    )


def run(args: argparse.Namespace) -> int:
    from ppo.cli.flags import TRAINING, again, load_config
    from ppo.core import program
    from ppo.core.errors import UserError

    if args.data is None:
        raise UserError(
            "--mode pretrain needs --data FILE (write one with --mode demonstrate --data FILE)"
        )
    config = load_config(args)
    from ppo.policies.pretrain import pretrain

    every = max(1, config.imitation.epochs // 10)

    def tell(record: dict[str, Any]) -> None:
        last = record["epoch"] + 1 == config.imitation.epochs
        if args.verbosity == "quiet" or (record["epoch"] % every and not last):
            return
        parts = [
            f"{name} {number(loss)} (held out {number(record['validation'][name])}, "
            f"{record['shares'][name] or 0:.0%} of the loss)"
            for name, loss in record["losses"].items()
        ]
        print(fold(f"epoch {record['epoch']:4d}  {'  '.join(parts)}"))

    from ppo.runs.files import from_here

    found = pretrain(config, args.data, args.results, tell)
    result = found.result
    low, high = result["ci95"]
    interval = "" if low is None else f"  (95 % interval {number(low)} to {number(high)})"
    print(f"return   {number(result['mean_return'])}{interval}")
    if result["success_rate"] is not None:
        print(f"success  {result['success_rate']:.1%}")
    if result.get("final_error") is not None:
        print(f"final error {number(result['final_error'])}")
    print(f"saved as {from_here(found.folder.path)}")
    start = ("--set", f"train.initial_policy={found.folder.name}")
    print(f"go on from it: {program.command('train', *again(args, TRAINING), *start)}")
    return 0
