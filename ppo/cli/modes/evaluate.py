"""plays a saved policy: return, length and success rate with confidence interval"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from ppo.cli.flags import add_trust
from ppo.core.figures import number
from ppo.core.screen import fold

COMMON = ("--set", "--results", "--seed", "--quiet")
SETTINGS = ("env",)
INDENT = 9  # columns of what stands before a figure


def add_arguments(parser: Any) -> None:
    parser.add_argument("--run", default="latest", metavar="RUN", help="run0007, latest or a path")
    parser.add_argument("--episodes", type=int, default=100, metavar="N", help="episodes (100)")
    parser.add_argument("--render", action="store_true", help="write an animated GIF of an episode")
    parser.add_argument("--stochastic", action="store_true", help="sample actions")
    parser.add_argument("--which", choices=["best", "latest"], default="best", help="checkpoint")
    parser.add_argument("--json", action="store_true", help="print the result as JSON alone")
    add_trust(parser)


def run(args: argparse.Namespace) -> int:
    from ppo.cli.stdout import kept_clean
    from ppo.core.errors import UserError

    if args.episodes < 1:
        raise UserError(f"--episodes: {args.episodes}; allowed: 1 or more")
    if args.seed is not None and args.seed < 0:
        raise UserError(f"--seed: {args.seed}; allowed: 0 or more")
    from ppo.policies.evaluate import evaluate_policy, on_variant, refuse_undrawn, render
    from ppo.policies.policy import load_policy
    from ppo.runs.folder import RunFolder

    folder = RunFolder.open(args.results, args.run)
    policy = load_policy(folder.path, args.results, args.which, trust=args.trust)
    changes = on_variant(policy, args.overrides)
    if args.render:
        refuse_undrawn(policy)
    seed = 0 if args.seed is None else args.seed
    if not args.quiet:
        actions = "sampled actions" if args.stochastic else "the policy's mode"
        played = [folder.name, policy.checkpoint, policy.config.env.id, actions, f"seed {seed}"]
        lines = [f"played   {', '.join(played)}", *(f"variant  {change}" for change in changes)]
        print(
            fold("\n".join(lines), further=INDENT),
            file=sys.stderr if args.json else sys.stdout,
            flush=True,
        )
    with kept_clean(args.json):
        found = evaluate_policy(policy, args.episodes, seed, not args.stochastic, folder.name)
    print(
        json.dumps(found, allow_nan=False) if args.json else fold(text_of(found), further=INDENT),
        flush=True,
    )
    if args.render:
        with kept_clean(args.json):
            path = render(policy, folder.path / "videos" / f"episode_{seed}.gif", seed)
        if not args.json:
            print(f"video    {path}")
    return 0


def text_of(found: dict[str, Any]) -> str:
    """The result of an evaluation, a figure a line."""
    low, high = found["ci95"]
    success = found["success_rate"]
    spread = "a single episode shows no spread"
    if low is not None:
        spread = (
            f"95 % interval of the mean {number(low)} to {number(high)}; "
            f"standard deviation {number(found['std_return'])}"
        )
    lines = [
        f"return   {number(found['mean_return'])}  ({spread})",
        f"length   {number(found['mean_length'])}",
        f"success  {'not reported' if success is None else format(success, '.1%')}",
        f"episodes {found['episodes']}",
    ]
    return "\n".join(lines)
