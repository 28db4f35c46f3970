"""writes demonstrations of an optimal control, or of a saved policy, to a file"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ppo.cli.flags import add_trust
from ppo.core.figures import number

COMMON = ("--config", "--set", "--results", "--seed", "--quiet")
SETTINGS = ("env", "evaluation.max_steps", "system.seed")


def add_arguments(parser: Any) -> None:
    parser.add_argument(
        "--data", type=Path, metavar="FILE", help="written: .npz, .hdf5 or .safetensors"
    )
    parser.add_argument("--episodes", type=int, default=1000, metavar="N", help="episodes (1000)")
    parser.add_argument("--run", metavar="RUN", help="whose policy acts; default: the expert")
    add_trust(parser)


def run(args: argparse.Namespace) -> int:
    from ppo.cli.flags import load_config, overrides
    from ppo.config import Config
    from ppo.core.errors import UserError

    if args.data is None:
        raise UserError("--mode demonstrate needs --data FILE (.npz, .hdf5 or .safetensors)")
    if args.episodes < 1:
        raise UserError(f"--episodes: {args.episodes}; allowed: 1 or more")
    if args.run is not None and args.config is not None:
        raise UserError("--config: with --run the settings are those of the run; leave one out")
    of_run = [text for text in args.overrides if args.run and not text.startswith("system.")]
    args.overrides = [text for text in args.overrides if text not in of_run]
    # The settings of a run go before those of a file; what is left is the seed.
    config = Config.load(overrides=overrides(args)) if args.run else load_config(args)
    from ppo.policies.demonstrate import REPORTS_ERROR, demonstrate
    from ppo.policies.demonstrations import check_name

    check_name(args.data)
    recording = demonstrate(
        config, args.data, args.episodes, args.run, args.results, of_run, args.trust
    )
    steps = recording.steps
    print(f"wrote {steps.num_episodes:,} episodes, {len(steps.obs):,} steps to {args.data}")
    rewards = steps.rewards
    if rewards is not None:
        print(f"return   {number(rewards.sum() / steps.num_episodes)}")
    known = recording.successes[recording.successes == recording.successes]
    if len(known):
        print(f"success  {known.mean():.1%}")
    if recording.env_id in REPORTS_ERROR:
        print(f"final error {number(recording.final_errors.mean())}")
    return 0
