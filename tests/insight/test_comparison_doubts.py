"""What makes a comparison doubtful is noted, and what thinning hides is not counted."""

from __future__ import annotations

from pathlib import Path

import pytest
from compared_runs import cleanrl_run, runs, settings
from insight_runs import event_file, healthy, write_run

from ppo.core.errors import UserError
from ppo.insight.comparison.compare import compare
from ppo.insight.comparison.page import page
from ppo.insight.comparison.tables import print_tables
from ppo.insight.logs import read_log
from ppo.runs.folder import RunFolder

SAMPLES = Path(__file__).parent / "samples"


def test_runs_on_different_environments_are_warned_of(tmp_path: Path) -> None:
    one = cleanrl_run(tmp_path / "a", 1, 1e-3)
    two = cleanrl_run(tmp_path / "b", 1, 1e-3, "Pendulum-v1")
    warnings = compare([one, two]).warnings
    assert any("different environments" in w and "Pendulum-v1" in w for w in warnings)


def test_one_run_with_no_batch_yet_is_no_error(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run0001", [], status="running")
    held = RunFolder(path)
    held.lock()
    found = compare([path])
    held.release()
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
    held = RunFolder(write_run(tmp_path / "run0004", [], status="running"))
    held.lock()
    found = compare([*paths, held.path]).warnings
    held.release()
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


def test_a_run_whose_process_was_killed_is_not_called_running(tmp_path: Path) -> None:
    for seed in (1, 2):
        write_run(tmp_path / f"run000{seed}", healthy(9), status="running", seed=seed)
    held = RunFolder(tmp_path / "run0002")
    held.lock()
    found = compare([tmp_path]).warnings
    held.release()
    assert "killed: run0001" in found and "running: run0002" in found


def test_a_log_that_tells_no_steps_took_no_fewer_than_another(tmp_path: Path) -> None:
    tags = ("Loss/value_function", "Loss/surrogate", "Train/mean_reward")
    rows = [(i, float(i)) for i in range(40)]  # by iterations, as rsl_rl
    log = event_file(tmp_path / "ant" / "events.out.tfevents.1.a", dict.fromkeys(tags, rows))
    paths = [write_run(tmp_path / f"run000{i}", healthy(10 * i), seed=i) for i in (1, 2)]
    (budgets,) = [w for w in compare([log.parent, *paths]).warnings if "budgets" in w]
    assert "run0001 took fewer" in budgets and "ant" not in budgets


def test_the_file_of_records_stands_for_its_run(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run0001", healthy(20), status="interrupted")
    by_file, by_folder = compare([run / "loss_metrics.json"]), compare([run])
    assert [r.name for r in by_file.runs] == ["run0001"]
    assert by_file.warnings == by_folder.warnings == ["interrupted: run0001"]


def test_a_folder_of_links_is_that_of_their_runs(tmp_path: Path) -> None:
    """A choice of runs; links to what is there already count once, and none leads further."""
    write_run(tmp_path / "far/below/run0003", healthy(9), seed=3)
    places = [write_run(tmp_path / f"all/run000{i}", healthy(9), seed=i) for i in (1, 2)]
    chosen = tmp_path / "chosen"
    chosen.mkdir()
    links = {"a": places[0], "again": places[0], "b": places[1], "up": chosen, "c": "../far"}
    for name, place in links.items():
        (chosen / name).symlink_to(place)
    assert len(compare([chosen]).runs) == 2 and len(compare([tmp_path]).runs) == 3
    assert read_log(chosen).source.endswith("the newest of 2 runs")


def test_a_link_to_nowhere_is_no_log(tmp_path: Path) -> None:
    """Weights & Biases leaves one, when the run is deleted that its debug.log links to."""
    run = write_run(tmp_path / "run0001", healthy(9))
    for name in ("loss_metrics.json", "a.csv", "debug.log", "events.out.tfevents.9.a"):
        (tmp_path / "gone").mkdir(exist_ok=True)
        (tmp_path / "gone" / name).symlink_to("/nowhere")
    assert [found.path for found in compare([tmp_path]).runs] == [str(run)]
    with pytest.raises(UserError, match="gone: no loss_metrics.json"):
        read_log(tmp_path / "gone")
