"""trains to train.total_timesteps, with evaluation, checkpoints and TensorBoard"""

from __future__ import annotations

import argparse
from typing import Any

from ppo.cli.flags import TRAINING, add_trust

SETTINGS = TRAINING


def add_arguments(parser: Any) -> None:
    parser.add_argument(
        "--resume",
        metavar="RUN",
        help="continue this run exactly; latest starts one if there is none",
    )
    parser.add_argument("--experiment", metavar="ID", help=argparse.SUPPRESS)  # that it is one of
    add_trust(parser)


def run(args: argparse.Namespace) -> int:
    from ppo.cli.console import Console

    resume, config = resumed_configuration(args)
    console = Console(verbosity=args.verbosity, total_steps=config.train.total_timesteps)
    if resume and (summary := already_done(args.results, resume, config)):
        total = f"{config.train.total_timesteps:,}"
        print(f"nothing is left to do: train.total_timesteps is {total}; a larger one goes on")
        console.end(summary)
        return 0
    from ppo.training.trainer import Trainer

    if args.trust and config.train.initial_policy:
        vouch_for(config.train.initial_policy, args)

    with Trainer(config, args.results, resume=resume, console=console) as trainer:
        trainer.train()
        if not trainer.opened:
            print("interrupted before the first batch: there is nothing to keep, and no run folder")
        return trainer.exit_status


def already_done(results: str, resume: str, config: Any) -> dict[str, Any] | None:
    """The summary of a run that has finished all its steps; nothing of it is touched then."""
    from ppo.runs.folder import RunFolder

    folder = RunFolder.open(results, resume)
    summary = folder.read_json("summary.json") or {}
    steps = summary.get("env_steps") or 0
    if summary.get("status") != "finished" or steps < config.train.total_timesteps:
        return None
    return {"run": folder.name, "path": str(folder.path), **summary}


def vouch_for(run: str, args: argparse.Namespace) -> None:
    """The run that the training starts from may import what its configuration names."""
    from ppo.config import Config
    from ppo.runs import trust
    from ppo.runs.folder import RunFolder

    trust.vouch(Config.load_run(RunFolder.open(args.results, run).path / "config.yaml")[0])


def resumed_configuration(args: argparse.Namespace) -> tuple[str | None, Any]:
    """The run to continue and its configuration; its own config.yaml unless --config is given."""
    from ppo.cli.flags import load_config, overrides
    from ppo.config import Config
    from ppo.core.errors import UserError
    from ppo.runs import trust
    from ppo.runs.folder import RunFolder
    from ppo.runs.mirror import local
    from ppo.runs.names import results_folder, run_names

    resume = args.resume and local(args.resume, results_folder(args.results))
    if resume == "latest" and not run_names(args.results):
        resume = None
    if resume is None:
        return None, load_config(args)
    if args.config is not None:
        return resume, load_config(args)
    folder = RunFolder.open(args.results, resume)
    if not (folder.path / "config.yaml").exists():  # killed before it had one: nothing was trained
        return resume, load_config(args)
    config, notes = Config.load_run(folder.path / "config.yaml", overrides=overrides(args))
    if notes:
        raise UserError(*(f"--resume {folder.name}: it was trained with {note}" for note in notes))
    trust.check(config, folder, args.trust)
    return resume, config
