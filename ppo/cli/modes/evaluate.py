"""plays a saved policy: return, length and success rate with confidence interval"""

from __future__ import annotations

import argparse
import json
from typing import Any

from ppo.cli.flags import add_trust


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
    from ppo.policies.evaluate import evaluate_run, render_run

    seed = 0 if args.seed is None else args.seed
    with kept_clean(args.json):
        result = evaluate_run(
            args.run,
            args.results,
            args.episodes,
            seed,
            deterministic=not args.stochastic,
            which=args.which,
            trust=args.trust,
        )
    if args.json:
        print(json.dumps(result, allow_nan=False))
    else:
        low, high = result["ci95"]
        success = result["success_rate"]
        print(
            f"return   {result['mean_return']:.4g}  (95 % interval of the mean "
            f"{low:.4g} .. {high:.4g}; deviation {result['std_return']:.3g})"
        )
        print(f"length   {result['mean_length']:.4g}")
        print(f"success  {'not reported' if success is None else format(success, '.1%')}")
        print(f"episodes {result['episodes']}")
    if args.render:
        with kept_clean(args.json):
            path = render_run(args.run, args.results, seed, args.which, args.trust)
        if not args.json:
            print(f"video    {path}")
    return 0
