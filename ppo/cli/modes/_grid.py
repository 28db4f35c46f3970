"""What ablate and sweep share, and in part tune: their flags, and how a grid is run."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ppo.core.errors import UserError
from ppo.runs.files import from_here

if TYPE_CHECKING:
    from ppo.insight.experiments.launchers.base import Launcher

GRID_FLAGS = ("--config", "--set", "--results", "--seed", "--quiet")


def add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="seeds each (3)")
    add_jobs(parser)
    parser.add_argument(
        "--restarts", type=int, default=3, metavar="N", help="of a job whose node is lost (3)"
    )
    parser.add_argument("--fresh", action="store_true", help="a new experiment, not the last one")
    parser.add_argument("--retry", action="store_true", help="train failed runs again")


def add_jobs(parser: argparse.ArgumentParser) -> None:
    """Flags of modes that start jobs: how many, and where."""
    parser.add_argument("--jobs", type=int, default=0, metavar="N", help="at a time (what fits)")
    launchers = ["local", "ray", "slurm"]
    parser.add_argument("--launcher", choices=launchers, default="local", help="where (local)")
    parser.add_argument("--address", default="auto", help="of the Ray cluster (auto)")
    parser.add_argument(
        "--gpus-per-job", type=float, default=0.0, metavar="X", help="ray: also a fraction (0)"
    )


@contextlib.contextmanager
def going_on() -> Iterator[None]:
    """Ctrl-C within says how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            "interrupted; running jobs were told to save, and the same command goes on"
        ) from None


def launcher_of(args: argparse.Namespace) -> tuple[Launcher, int]:
    """What starts the jobs, and how many at a time.

    Raises:
        UserError: it cannot be used here; nothing is made.
    """
    from ppo.insight.experiments import launchers

    if args.jobs < 0:
        raise UserError(f"--jobs: {args.jobs}; allowed: 0 (as many as there is room for) or more")
    launcher = launchers.make(args.launcher, args.address, args.gpus_per_job)
    return launcher, args.jobs or launcher.capacity()


def run_grid(args: argparse.Namespace, axes: list[str], design: str) -> int:
    """Trains the grid and prints its matrix; 1 where a run failed."""
    from ppo.config.shipped import find
    from ppo.core.screen import fold
    from ppo.insight.experiments.experiment import open_experiment
    from ppo.insight.experiments.grid import file_of, plan_of, seeds_of
    from ppo.insight.experiments.run import run_experiment
    from ppo.insight.experiments.tables import Overview, report

    seeds, config = seeds_of(args.seeds, args.seed), file_of(args.config and find(args.config))
    plan = plan_of(axes, design, seeds, config, args.overrides)
    if args.restarts < 0:
        raise UserError(f"--restarts: {args.restarts}; allowed: 0 or more")
    launcher, jobs = launcher_of(args)
    experiment = open_experiment(plan, args.results, args.fresh)
    if not args.quiet:
        runs = len(plan.jobs())
        shape = f"{runs} runs of {runs // args.seeds} settings"
        print(f"{from_here(experiment.folder)}: {shape}", file=sys.stderr)
    with going_on(), contextlib.closing(Overview(args.quiet)) as overview:
        outcomes = run_experiment(experiment, launcher, jobs, overview, args.retry, args.restarts)
    print(fold(report(experiment)))
    return 0 if all(outcome.status == "finished" for outcome in outcomes) else 1
