"""environment steps per second on this machine: rollout, update, whole loop, and the bound"""

from __future__ import annotations

import argparse
import json
from typing import Any

ROWS = {
    "rollout": "policy and environments",
    "update": "all gradient steps of a batch",
    "loop": "everything that training does, without files",
    "roofline": "the matrix products alone: the bound",
}

COMMON = ("--config", "--set", "--seed", "--quiet")
SETTINGS = (
    "env", "network", "ppo", "balancing", "auxiliary", "train.total_timesteps", "system",
)  # fmt: skip


def add_arguments(parser: Any) -> None:
    parser.add_argument("--json", action="store_true", help="print only JSON")
    parser.add_argument(
        "--seconds", type=float, default=3.0, metavar="S", help="of each measurement (3)"
    )


def run(args: argparse.Namespace) -> int:
    from ppo.cli.flags import load_config
    from ppo.cli.stdout import kept_clean
    from ppo.core.errors import UserError
    from ppo.core.screen import fold

    if args.seconds <= 0:
        raise UserError(f"--seconds: {args.seconds:g}; allowed: above 0")
    config = load_config(args)
    from ppo.training.throughput import measure

    with kept_clean(args.json):
        found = measure(config, args.seconds)
    print(json.dumps(found) if args.json else fold(as_text(found)))
    return 0


def as_text(found: dict[str, Any]) -> str:
    """The measurements as a small table."""
    compiled = "compiled" if found["compiled"] else "eager"
    lines = [
        f"{found['env']} x {found['num_envs']} ({found['backend']}), {found['device']}, "
        f"{found['threads']} thread{'s' * (found['threads'] != 1)}, {compiled}; "
        "environment steps per second:"
    ]
    for name, meaning in ROWS.items():
        lines.append(f"  {name:<10}{found[f'{name}_steps_per_second']:>14,}  {meaning}")
    lines.append(
        f"  the loop reaches {found['share_of_roofline']:.1%} of the bound; "
        f"{found['seconds_per_million_steps']:g} s per million steps, "
        f"{found['startup_seconds']:g} s to start"
    )
    return "\n".join(lines)
