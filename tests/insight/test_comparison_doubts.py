"""What makes a comparison doubtful is noted, and what thinning hides is not counted."""

from __future__ import annotations

from pathlib import Path

import pytest
from compared_runs import cleanrl_run, runs, settings
from insight_runs import healthy, write_run

from ppo.insight.comparison.compare import compare
from ppo.insight.comparison.page import page
from ppo.insight.comparison.tables import print_tables

SAMPLES = Path(__file__).parent / "samples"


def test_runs_on_different_environments_are_warned_of(tmp_path: Path) -> None:
    one = cleanrl_run(tmp_path / "a", 1, 1e-3)
    two = cleanrl_run(tmp_path / "b", 1, 1e-3, "Pendulum-v1")
    warnings = compare([one, two]).warnings
    assert any("different environments" in w and "Pendulum-v1" in w for w in warnings)


def test_one_run_with_no_batch_yet_is_no_error(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run0001", [], status="running")
    found = compare([path])
    assert any("no batch yet" in warning for warning in found.warnings)
    print_tables(found)
    assert "run0001" in page(found)


def test_a_long_run_is_thinned_but_its_return_is_exact(tmp_path: Path) -> None:
    records = healthy(2500)
    records[777]["mean_episode_return"] = 9e9
    records[778]["mean_episode_return"] = None
    run = compare([write_run(tmp_path / "run0001", records)]).runs[0]
    assert run.batches == 2500 and len(run.log) < 500
    assert run.figures["mean_episode_return"].best == 9e9
    assert run.figures["value_loss"].last == pytest.approx(records[-1]["value_loss"])


def test_logs_of_other_libraries_stand_beside_ours(tmp_path: Path) -> None:
    ours = write_run(tmp_path / "run0001", healthy(20))
    found = compare([ours, SAMPLES / "h_pendulum", SAMPLES / "c_h_cartpole"])
    assert len(found.groups) == 3
    assert any("other libraries" in warning for warning in found.warnings)
    print_tables(found)


def test_a_group_of_different_settings_is_noted(tmp_path: Path) -> None:
    found = compare(runs(tmp_path, {1e-3: 0.0, 1e-4: 0.0}, seeds=1), group="run")
    assert "run pools runs that differ in ppo.learning_rate" in found.warnings


def test_an_ended_run_without_a_readable_batch_has_none_to_wait_for(tmp_path: Path) -> None:
    paths = [write_run(tmp_path / f"run000{i}", healthy(20), seed=i) for i in (1, 2, 3)]
    (paths[1] / "loss_metrics.json").write_text("")
    write_run(tmp_path / "run0004", [], status="running")
    found = compare([*paths, tmp_path / "run0004"]).warnings
    assert "ended, and no batch can be read: run0002" in found
    assert "no batch yet: run0004" in found


def test_what_thinning_hides_is_not_counted_and_the_threshold_is_exact(tmp_path: Path) -> None:
    """Of every tenth batch a shock is seen once in ten times, and a rise up to ten batches late."""
    records = healthy(1000)
    for i, record in enumerate(records):
        record["explained_variance"] = 0.9 if i % 41 else 0.1
        record["mean_episode_return"] = 0.0 if i < 501 or i == 700 else 100.0
    paths = [write_run(tmp_path / "run0001", records)]
    paths.append(write_run(tmp_path / "run0002", records[:350], settings(1e-3), seed=7))
    found = compare(paths)
    long, short = (run.stability for run in found.runs)
    shocks = "value shocks per million steps"
    assert shocks in short and shocks not in long
    assert long["worst drawdown, share of the gain"] == 1.0
    assert found.reach(found.groups[0])[1] == records[501]["env_steps"]
