"""What ablate and sweep share: their flags, and one call of the API."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator

GRID_FLAGS = ("--config", "--set", "--results", "--seed", "--quiet")


def add_common(parser: argparse.ArgumentParser) -> None:
    """Flags of both modes."""
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


def run_grid(args: argparse.Namespace, axes: list[str], design: str) -> int:
    """Trains the grid and prints its matrix; 1 where a run failed."""
    from ppo.config.shipped import find
    from ppo.core.screen import fold
    from ppo.insight.experiments.run import run_grid_of
    from ppo.insight.experiments.tables import Overview, report

    with going_on(), contextlib.closing(Overview(args.quiet)) as overview:
        experiment, outcomes = run_grid_of(
            axes,
            design,
            seeds=args.seeds,
            first_seed=args.seed,
            config=args.config and find(args.config),
            overrides=args.overrides,
            results=args.results,
            jobs=args.jobs,
            launcher=args.launcher,
            address=args.address,
            gpus_per_job=args.gpus_per_job,
            restarts=args.restarts,
            fresh=args.fresh,
            retry_failed=args.retry,
            quiet=args.quiet,
            watch=overview,
        )
    print(fold(report(experiment)))
    return 0 if all(outcome.status == "finished" for outcome in outcomes) else 1
