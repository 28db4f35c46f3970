"""trains to train.total_timesteps, with evaluation, checkpoints and TensorBoard"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
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
        print("\n".join(nothing_left(summary, config)))
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
    from ppo.insight.logs.own import read_summary
    from ppo.runs.files import from_here
    from ppo.runs.folder import RunFolder

    folder = RunFolder.open(results, resume)
    summary = read_summary(folder.path)
    steps = summary.get("env_steps") or 0
    if summary.get("status") != "finished" or steps < config.train.total_timesteps:
        return None
    return {"run": folder.name, "path": from_here(folder.path), **summary}


def nothing_left(summary: dict[str, Any], config: Any) -> list[str]:
    """Why a finished run stays as it is, what would go on, and which settings come to nothing."""
    from ppo.config import Config
    from ppo.core.screen import fold
    from ppo.runs.summary import changes_between

    steps, total = f"{summary['env_steps']:,}", f"{config.train.total_timesteps:,}"
    lines = [
        f"nothing is left to do: {summary['run']} has {steps} steps, and train.total_timesteps is "
        f"{total}; one above {steps} goes on"
    ]
    run = Config.load_run(Path(summary["path"]) / "config.yaml")[0]
    changes = {
        change.partition(" ")[0]: change
        for change in changes_between(run.to_dict(), config.to_dict())
    }
    open_ones = {"train.total_timesteps", *config.open}
    unused = [change for name, change in changes.items() if name not in open_ones]
    if unused:
        more = f", and {len(unused) - 3} more" if len(unused) > 3 else ""
        lines.append(f"not used, since no batch is left: {', '.join(unused[:3])}{more}")
    return [fold(line) for line in lines]


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
    from ppo.runs.files import shown
    from ppo.runs.folder import RunFolder
    from ppo.runs.mirror import local
    from ppo.runs.names import results_folder, run_names

    resume = args.resume and local(args.resume, results_folder(args.results))
    if resume == "latest" and not run_names(args.results):
        if args.verbosity != "quiet":
            print(f"no run in {shown(args.results)} yet: a new one begins", file=sys.stderr)
        resume = None
    if resume is None:
        return None, load_config(args)
    if args.config is not None:
        return resume, load_config(args)
    folder = RunFolder.open(args.results, resume)
    own = folder.path / "config.yaml"
    if not own.exists() or not own.stat().st_size:
        if any(folder.checkpoints.glob("*.safetensors")):
            missing = "is empty" if own.exists() else "is missing"
            raise UserError(
                f"--resume {folder.name}: its config.yaml {missing}, which holds the settings that "
                "it was trained with; put it back, or give them with --config"
            )
        return resume, load_config(args)  # killed before it had one: nothing was trained
    config, notes = Config.load_run(own, overrides=overrides(args))
    if notes:
        raise UserError(*(f"--resume {folder.name}: it was trained with {note}" for note in notes))
    trust.check(config, folder, args.trust)
    return resume, config
