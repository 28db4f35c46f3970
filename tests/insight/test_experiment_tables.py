"""The matrix of an experiment has a row for each combination that was asked for."""

from __future__ import annotations

import dataclasses
import re
import sys
from pathlib import Path

import pytest
from screens import Screen
from stand_in_jobs import StandIn, plan

from ppo.core.errors import RunError
from ppo.insight.experiments.experiment import Outcome, open_experiment
from ppo.insight.experiments.grid import Axis
from ppo.insight.experiments.run import run_experiment
from ppo.insight.experiments.tables import Overview, report


def test_a_setting_that_changes_nothing_learned_has_its_rows(tmp_path: Path) -> None:
    """As a sweep over threads, for their speed: equal batches of equal seeds are no repetition."""
    asked = dataclasses.replace(plan(seeds=2), axes=(Axis("system.threads", ("1", "2")),))
    experiment = open_experiment(asked, tmp_path)
    run_experiment(experiment, StandIn(), jobs=4)
    report(experiment)
    rows = (experiment.folder / "matrix.md").read_text().splitlines()[2:]
    assert [row.split("|")[1:3] for row in rows] == [[" 1              ", " 2     "],
                                                     [" 2              ", " 2     "]]  # fmt: skip


def test_a_seed_that_failed_before_its_first_record_is_counted(tmp_path: Path) -> None:
    """Those that went well alone would make its settings look good."""
    experiment = open_experiment(plan("0.9", "0.4", seeds=3), tmp_path)
    outcomes = run_experiment(experiment, StandIn(), jobs=4)
    assert [outcome.error for outcome in outcomes] == [*[""] * 3, "batch 0: diverged", "", ""]
    told = report(experiment)
    assert "gamma=0.4, seed 1 (failed: batch 0: diverged)" in told
    row = (experiment.folder / "matrix.md").read_text().splitlines()[3]
    assert [cell.strip() for cell in row.split("|")[1:3]] == ["0.4", "3"] and "(2 of 3)" in row
    assert re.search(r"1 of the 3 runs of\s+gamma=0.4\s+failed", told)
    assert (experiment.folder / "jobs/0004/output.txt").read_text().count("error:") == 2


def test_the_line_on_a_terminal_is_drawn_over_itself_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = Screen(terminal=True)
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("COLUMNS", "80")
    running = [Outcome(job, tmp_path, "running") for job in plan("0.9", "0.8", seeds=2).jobs()]
    overview = Overview()
    overview(running)
    overview.close()
    drawn, left = screen.getvalue().split("\r\x1b[K")[1:]
    assert drawn.startswith("0 of 4 finished | gamma=0.9") and len(drawn) == 79 and not left


def test_a_full_disk_is_named_with_the_folder_that_it_holds(tmp_path: Path) -> None:
    experiment = open_experiment(plan("0.9", "0.8"), tmp_path)
    (experiment.folder / "jobs").write_text("")  # in place of a disk that takes no folder
    with pytest.raises(RunError, match="jobs/0001: cannot start a job there"):
        run_experiment(experiment, StandIn())
