"""searches settings with Optuna; the return and the doctor prune"""

from __future__ import annotations

import argparse
import sys

from ppo.cli.flags import TRAINING
from ppo.cli.modes._grid import GRID_FLAGS, add_jobs, going_on, launcher_of
from ppo.runs.files import from_here

COMMON, SETTINGS = GRID_FLAGS, TRAINING


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--vary",
        nargs="+",
        action="extend",
        required=True,
        metavar='"KEY=LOW..HIGH [log]"',
        help="settings and their ranges, or KEY=V1,V2",
    )
    parser.add_argument("--trials", type=int, default=40, metavar="N", help="settings tried (40)")
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="seeds of each (1)")
    add_jobs(parser)
    parser.add_argument("--fresh", action="store_true", help="a new search, not the last one")


def run(args: argparse.Namespace) -> int:
    """Searches, and leaves the best settings and a page in the search's folder."""
    from ppo.config.shipped import find
    from ppo.core.screen import fold
    from ppo.insight.experiments.findings import conclude
    from ppo.insight.experiments.grid import file_of, seeds_of
    from ppo.insight.experiments.search import Search, Tuner, open_search
    from ppo.insight.experiments.space import parse
    from ppo.insight.experiments.study import optuna_of

    optuna_of()
    seeds = seeds_of(args.seeds, args.seed)
    config = file_of(args.config and find(args.config))
    space = tuple(parse(text) for text in args.vary)
    search = Search(space, args.trials, seeds, config, tuple(args.overrides))
    launcher, jobs = launcher_of(args)
    folder = open_search(search, args.results, args.fresh)
    quiet = args.verbosity == "quiet"

    def tell(line: str) -> None:
        if not quiet:
            print(line, file=sys.stderr, flush=True)

    tell(f"{from_here(folder)}: {search.trials} trials")
    tuner = Tuner(search, folder, launcher, jobs, tell)
    with going_on():
        tuner.run()
    print(fold(conclude(tuner)))
    return 0
