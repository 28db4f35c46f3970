"""The matrix of an experiment has a row for each combination that was asked for."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from stand_in_jobs import plan, standing_in

from ppo.insight.experiments.experiment import open_experiment
from ppo.insight.experiments.grid import Axis
from ppo.insight.experiments.launchers.local import LocalLauncher
from ppo.insight.experiments.run import run_experiment
from ppo.insight.experiments.tables import report


class StandIn(LocalLauncher):
    def start(self, command, output):
        return super().start(standing_in(command), output)


def test_a_setting_that_changes_nothing_learned_has_its_rows(tmp_path: Path) -> None:
    """As a sweep over threads, for their speed: equal batches of equal seeds are no repetition."""
    asked = dataclasses.replace(plan(seeds=2), axes=(Axis("system.threads", ("1", "2")),))
    experiment = open_experiment(asked, tmp_path)
    run_experiment(experiment, StandIn(), jobs=4)
    report(experiment)
    rows = (experiment.folder / "matrix.md").read_text().splitlines()[2:]
    assert [row.split("|")[1:3] for row in rows] == [[" 1              ", " 2     "],
                                                     [" 2              ", " 2     "]]  # fmt: skip
