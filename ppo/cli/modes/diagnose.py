"""what is wrong with a run, since which batch, and which setting to change"""

from __future__ import annotations

import argparse

COMMON = ("--results", "--verbose")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN_OR_FOLDER", help="run0007, latest, or any log")
    parser.add_argument("--json", action="store_true", help="findings as JSON on stdout")


def run(args: argparse.Namespace) -> int:
    """Prints the verdict and the findings: 0 also where there are some, 2 for a log not read."""
    from ppo.core.errors import UserError
    from ppo.core.screen import fold
    from ppo.insight.doctor import diagnose, report, to_json
    from ppo.insight.logs import MetricsLog, find_run, read_log
    from ppo.insight.verdict import status

    try:
        log = read_log(find_run(args.run, args.results))
    except UserError:
        if args.json:
            print(to_json(MetricsLog(), []))
        raise
    findings = diagnose(log)
    print(to_json(log, findings) if args.json else fold(report(log, findings, args.verbose)))
    return 2 if status(log, findings) == "not_read" else 0
