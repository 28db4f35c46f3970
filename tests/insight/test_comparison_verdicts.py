"""What is said of the difference between two groups, and what is not."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from compared_runs import runs, settings
from insight_runs import healthy, write_run

from ppo.core.figures import number
from ppo.insight.comparison.compare import compare
from ppo.insight.comparison.groups import RETURN
from ppo.insight.comparison.page import page
from ppo.insight.comparison.tables import interval, print_tables
from ppo.insight.comparison.verdicts import CHANCE, ONE_SEED, OPEN, judge


def test_a_clear_difference_is_told_and_its_absence_is_not(tmp_path: Path) -> None:
    found = compare(runs(tmp_path, {1e-3: 0.0, 1e-4: 300.0, 1e-5: 0.0, 1e-2: -300.0}))
    words = {
        verdict.group.changes["ppo.learning_rate"]: verdict.word
        for verdict in found.verdicts
        if verdict.metric.name == "mean_episode_return" and verdict.figure == "final"
    }
    assert words == {1e-4: "better", 1e-5: CHANCE, 1e-2: "worse"}
    unsure = next(v for v in found.verdicts if v.word == CHANCE and v.difference.mean)
    assert re.search(r"needs about \d+ more seed", unsure.line())
    lines = [verdict.line() for verdict in found.verdicts]
    assert not any("cannot tell" in line or "nan" in line for line in lines)
    assert any("ppo" not in line and " is better than " in line for line in lines)


def test_one_seed_a_group_shows_the_difference_and_the_noise_of_batches(tmp_path: Path) -> None:
    paths = []
    for name, level in (("run0001", 0.0), ("run0002", 50.0)):
        records = healthy(60, level=level)
        for i, record in enumerate(records):
            record["mean_episode_return"] = level + (100.0 if i % 2 else 90.0)
        paths.append(write_run(tmp_path / name, records, settings(1e-3 + level * 1e-6)))
    found = compare(paths)
    assert [(v.metric.name, v.word) for v in found.verdicts] == [("mean_episode_return", ONE_SEED)]
    line = found.verdicts[0].line()
    spread = np.std([100, 90, 100, 90, 100, 90], ddof=1)  # of the last tenth of 60 batches
    assert f"differ by +50, and the batches of that tenth by {number(spread)}" in line
    print_tables(found)
    text = page(found)
    assert "more seed" not in text and "p nan" not in text and "cannot tell" not in text
    assert found.verdicts[0].short() == "+50, one seed"


def _lose(run: Path, records: list[dict], seed: int, status: str = "failed") -> None:
    """Gives a run other records and another end."""
    shutil.rmtree(run)
    write_run(run, records, settings(1e-4), status, seed)


def test_a_group_is_not_called_better_for_the_runs_it_lost(tmp_path: Path) -> None:
    """Of five seeds two do well; of the others no episode ended, or they diverged early."""
    paths = runs(tmp_path, {1e-3: 0.0, 1e-4: 300.0}, seeds=5)
    silent = healthy(40, level=300.0)
    for record in silent:
        record["mean_episode_return"] = None
    _lose(paths[7], silent, 2, "finished")
    for seed in (3, 4):
        _lose(paths[5 + seed], healthy(4, level=300.0), seed)
    found = compare(paths)
    verdict = found.verdicts[0]
    assert verdict.p_value < 0.05 and verdict.word == OPEN
    assert "open between" in verdict.line() and "better" not in verdict.line()
    lost = "3 of the 5 runs of learning_rate=0.0001 failed or have no such figure"
    assert lost in verdict.line() and verdict.short().startswith("open, runs lost")
    assert "no return in the log, not in its figures: run0008" in found.warnings
    assert interval(found.groups[1], "mean_episode_return", "final").endswith(" (4 of 5)")
    print_tables(found)
    assert lost in page(found)
    against = compare([*paths[5:], *paths[:5]]).verdicts[0]  # the baseline lost them
    assert against.word == OPEN


def test_a_group_that_lost_runs_may_be_worse(tmp_path: Path) -> None:
    paths = runs(tmp_path, {1e-3: 300.0, 1e-4: 0.0}, seeds=5)
    _lose(paths[9], healthy(4, level=0.0), 4)
    verdict = compare(paths).verdicts[0]
    assert verdict.word == "worse" and "; 1 of the 5 runs of" in verdict.line()


def test_the_noise_of_a_single_batch_is_not_asked(tmp_path: Path) -> None:
    short = [record | {"mean_episode_return": 5.0} for record in healthy(1)]
    paths = [write_run(tmp_path / "run0001", healthy(40), settings(1e-3))]
    paths.append(write_run(tmp_path / "run0002", short, settings(1e-4)))
    assert np.isfinite(compare(paths).verdicts[0].noise)


def test_a_baseline_that_falls_gives_no_threshold(tmp_path: Path) -> None:
    """Nine tenths of a fall is a return that a run has before it has learned anything."""
    paths = runs(tmp_path, {1e-3: 0.0, 1e-4: 50.0}, seeds=2)
    for path in paths:
        text = (path / "loss_metrics.json").read_text()
        tree = json.loads(text)
        for i, record in enumerate(tree["batches"]):
            record["mean_episode_return"] = 100.0 - i
        (path / "loss_metrics.json").write_text(json.dumps(tree))
    found = compare(paths)
    assert np.isnan(found.threshold) and found.reach(found.groups[0])[0] == 0
    assert "the baseline&#x27;s return did not rise" in page(found)


def test_seeds_beyond_a_hundred_are_no_number(tmp_path: Path) -> None:
    found = compare(runs(tmp_path, {1e-3: 0.0, 1e-5: 0.0}))
    verdict = found.verdicts[0]
    verdict.difference = dataclasses.replace(verdict.difference, more_seeds=662_865)
    assert "needs over 100 more seeds a group" in verdict.line()


def test_two_groups_are_never_called_the_same(tmp_path: Path) -> None:
    """One of the same settings was resumed with others; keys of two sections end alike."""
    paths = runs(tmp_path, {1e-3: 0.0, 1e-4: 0.0}, seeds=4)
    for path in paths[:2]:
        former = yaml.safe_load((path / "config.yaml").read_text())
        former["ppo"]["gamma"] = 0.5
        (path / "config.batch0005.yaml").write_text(yaml.safe_dump(former))
    labels = [group.label for group in compare(paths).groups]
    assert len(set(labels)) == 3 and labels[2] == "learning_rate=0.0001"
    for path in paths[4:]:
        tree = yaml.safe_load((path / "config.yaml").read_text())
        tree["imitation"] = {"learning_rate": 0.5}
        (path / "config.yaml").write_text(yaml.safe_dump(tree))
    label = compare(paths[2:]).groups[1].label
    assert label == "imitation.learning_rate=0.5, ppo.learning_rate=0.0001"


def test_the_tables_of_the_terminal_call_groups_as_the_verdicts_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = compare(runs(tmp_path, {1e-3: 0.0, 1e-4: 300.0}))
    print_tables(found)
    heads = [line for line in capsys.readouterr().out.splitlines() if line.startswith(" runs ")]
    assert "learning_rate=0.001 " in heads[0] and "learning_rate=0.0001" in heads[0]
    assert " in the mean [" in found.verdicts[0].line()  # beside tables of interquartile means


def test_groups_on_different_environments_are_not_judged(tmp_path: Path) -> None:
    """A return of 300 on one task is no better than one of 0 on another."""
    paths = runs(tmp_path, {1e-3: 0.0, 1e-4: 300.0, 1e-5: 300.0})
    for path in paths[4:8]:
        tree = yaml.safe_load((path / "config.yaml").read_text())
        tree["env"]["id"] = "Pendulum-v1"
        (path / "config.yaml").write_text(yaml.safe_dump(tree))
    found = compare(paths)
    assert {v.group.runs[0].name for v in found.verdicts} == {"run0009"}
    assert found.verdicts[0].word == "better" and found.reach(found.groups[2])[0]
    assert found.reach(found.groups[1])[0] == 0
    assert any("are not judged: " in warning for warning in found.warnings)


def test_a_single_seed_is_named_where_the_other_group_has_several(tmp_path: Path) -> None:
    paths = runs(tmp_path, {1e-3: 0.0, 1e-4: 300.0}, seeds=3)
    line = compare(paths[:4]).verdicts[0].line()
    assert "with one seed of run0004 (learning_rate=0.0001): they" in line
    assert "with one seed a group: they" in compare(paths[2:4]).verdicts[0].line()


def test_a_run_without_the_figure_leaves_the_others_to_be_judged(tmp_path: Path) -> None:
    found = compare(runs(tmp_path, {1e-3: 0.0, 1e-4: 300.0}))
    metric = next(v.metric for v in found.verdicts if v.metric.name == RETURN)
    first, second = found.groups
    hurt = second.runs[1].figures
    hurt[RETURN] = dataclasses.replace(hurt[RETURN], final=float("nan"))
    final = next(v for v in judge(metric, [first, second]) if v.figure == "final")
    assert np.isfinite(final.difference.mean) and not final.difference.paired
