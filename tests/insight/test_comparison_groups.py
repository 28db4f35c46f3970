"""Which runs are one group, what tells groups apart, and the figures of each."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from compared_runs import cleanrl_run, foreign_run, runs, settings
from insight_runs import SETTINGS, event_file, healthy, write_run

from ppo.config import Config
from ppo.config.words import known_paths
from ppo.core.errors import UserError
from ppo.insight.comparison.compare import compare
from ppo.insight.comparison.groups import differences, group_runs
from ppo.insight.comparison.page import page
from ppo.insight.comparison.tables import print_tables

SAMPLES = Path(__file__).parent / "samples"


def test_runs_that_differ_in_their_seed_only_are_one_group(tmp_path: Path) -> None:
    found = compare(runs(tmp_path, {1e-3: 0.0, 1e-4: 0.0}))
    assert [len(group.runs) for group in found.groups] == [4, 4]
    assert found.differing == {"ppo.learning_rate": [1e-3, 1e-4]}


def test_settings_that_differ_stand_as_they_are_typed(tmp_path: Path) -> None:
    paths = []
    for number, value in enumerate([True, True, False, False]):
        tree = settings(1e-3)
        tree["ppo"]["normalize_returns"] = value
        paths.append(write_run(tmp_path / f"run{number}", healthy(20), tree, seed=number % 2))
    found = compare(paths)
    names = [group.label for group in found.groups]
    assert names == ["normalize_returns=true", "normalize_returns=false"]
    text = page(found)
    assert "<code>true</code>" in text and "True" not in text and "False" not in text


def test_a_run_that_was_resumed_with_other_settings_stands_alone_and_is_noted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, parted = (write_run(tmp_path / f"run000{n}", healthy(20)) for n in (1, 2))
    former = (
        (parted / "config.yaml").read_text().replace("learning_rate: 0.001", "learning_rate: 0.1")
    )
    (parted / "config.batch0014.yaml").write_text(former)
    found = compare([whole, parted])
    assert [len(group.runs) for group in found.groups] == [1, 1]
    note = "run0002 was resumed with other settings: before batch 14: ppo.learning_rate 0.1"
    assert note in found.warnings
    print_tables(found)
    assert note in " ".join(capsys.readouterr().out.split())
    assert "before batch 14: ppo.learning_rate 0.1</td>" in page(found)


# What the data of a training do not depend on, so that it splits no group.
OF_ONE_GROUP = """
system.seed system.threads system.device system.compile train.checkpoint_interval
train.keep_checkpoints train.grace_seconds train.mirror env.workers env.step_timeout
env.reset_timeout
""".split()


def _three(key: str, first: object, second: object) -> list[Any]:
    """Runs of the first value, of the second, and of the first again."""
    return [
        SimpleNamespace(
            writer="ppo", path=path, settings={"system.seed": path, key: value}, parts=()
        )
        for path, value in (("a", first), ("b", second), ("c", first))
    ]


@pytest.mark.parametrize("key", sorted(known_paths(Config)))
def test_runs_that_differ_in_a_setting_of_the_training_are_not_pooled(key: str) -> None:
    one, other, same = runs = _three(key, 1, 2)
    pooled = key in OF_ONE_GROUP or key.startswith(("evaluation.", "logging."))
    expected = [runs] if pooled else [[one, same], [other]]
    assert [group.runs for group in group_runs(runs)] == expected


@pytest.mark.parametrize(
    ("first", "second", "pooled"),
    [("sync", "async", True), ("sync", "vector", False), ("async", "torch", False),
     ("auto", "torch", False)],
)  # fmt: skip
def test_backends_of_the_same_data_are_pooled(first: str, second: str, pooled: bool) -> None:
    """Worker processes give the data of `sync`; torch and a foreign vectorized form need not."""
    runs = _three("env.backend", first, second)
    assert (len(group_runs(runs)) == 1) == pooled
    assert differences([run.settings for run in runs]) == (
        {} if pooled else {"env.backend": [first, second, first]}
    )


def test_settings_that_do_not_matter_do_not_split_a_group(tmp_path: Path) -> None:
    one = write_run(tmp_path / "run0001", healthy(5), {**SETTINGS, "logging": {"doctor": True}})
    two = write_run(tmp_path / "run0002", healthy(5), {**SETTINGS, "logging": {"doctor": False}})
    assert len(compare([one, two]).groups) == 1


def test_figures_are_first_best_last_and_area(tmp_path: Path) -> None:
    records = healthy(20)
    for i, record in enumerate(records):
        record["mean_episode_return"] = [1.0, None, 5.0, 3.0][i % 4] if i < 4 else 3.0
    run = compare([write_run(tmp_path / "run0001", records)]).runs[0]
    figures = run.figures["mean_episode_return"]
    assert (figures.first, figures.best, figures.last, figures.final) == (1.0, 5.0, 3.0, 3.0)
    assert figures.auc == pytest.approx((6 + 4 + 16 * 3) / 19)


def test_foreign_runs_are_grouped_by_what_a_pattern_finds(tmp_path: Path) -> None:
    names = ["ppo_s1", "ppo_s2", "ppo_big_s1", "ppo_big_s2", "other"]
    paths = [foreign_run(tmp_path, name, 10.0 * ("big" in name)) for name in names]
    assert len(compare(paths).groups) == 5
    found = compare(paths, r"(ppo\w*)_s\d")
    assert [(group.label, len(group.runs)) for group in found.groups] == [
        ("ppo", 2), ("ppo_big", 2), ("other", 1)
    ]  # fmt: skip
    assert any("no environment in the log" in warning for warning in found.warnings)
    by_whole = compare(paths, "ppo_big|ppo")
    assert [group.label for group in by_whole.groups] == ["ppo", "ppo_big", "other"]
    with pytest.raises(UserError, match=r"--group \(: no regular expression"):
        compare(paths, "(")


def test_runs_of_cleanrl_are_grouped_by_their_text_summary(tmp_path: Path) -> None:
    paths = [
        cleanrl_run(tmp_path / f"{rate}-{seed}", seed, rate)
        for rate in (1e-3, 1e-4)
        for seed in (1, 2)
    ]
    found = compare(paths)
    assert [[run.seed for run in group.runs] for group in found.groups] == [[1, 2], [1, 2]]
    assert found.differing == {"ppo.learning_rate": [1e-3, 1e-4]}


def test_a_run_that_was_cut_off_is_compared_as_far_as_it_is(tmp_path: Path) -> None:
    paths = runs(tmp_path, {1e-3: 0.0, 1e-4: 0.0}, seeds=1)
    file = paths[1] / "loss_metrics.json"
    file.write_bytes(file.read_bytes()[:-2000])
    (paths[1] / "summary.json").write_text('{"status": "running"}')
    found = compare(paths)
    assert found.runs[1].batches in (38, 39)
    assert any(warning.startswith("killed") for warning in found.warnings), "nobody writes it"
    assert any("unequal budgets" in warning for warning in found.warnings)


def test_the_same_folder_name_from_two_places_stays_told_apart(tmp_path: Path) -> None:
    one = write_run(tmp_path / "a" / "run0001", healthy(5))
    two = write_run(tmp_path / "b" / "run0001", healthy(5), settings(1e-5))
    assert [run.name for run in compare([one, two]).runs] == ["a/run0001", "b/run0001"]


def test_no_run_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="at least one"):
        compare([])
    with pytest.raises(UserError, match="no loss_metrics.json"):
        compare([tmp_path])


def test_the_value_loss_is_in_the_unit_of_each_group(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = json.loads(json.dumps(SETTINGS))
    raw["ppo"]["normalize_returns"] = False
    parts = [r | {"components": {"a": {"loss": 1.0}, "b": {"loss": 1.0}}} for r in healthy(20)]
    one = write_run(tmp_path / "run0001", healthy(20))
    two = write_run(tmp_path / "run0002", parts, raw)
    found = compare([one, two, SAMPLES / "c_h_cartpole"])
    print_tables(found)
    text = capsys.readouterr().out
    units = re.findall(r"value loss: unweighted, in (.*?) *$", text, re.MULTILINE)
    assert units == [
        "variances of its targets",
        "squared rewards, summed over 2 components",
        "the unit of its library",
    ]
    shown = re.findall(r"value loss \(in ([^)]*)\)", page(found))
    assert shown == units


def test_runs_of_one_name_and_folder_are_told_apart_by_the_folders_above(tmp_path: Path) -> None:
    """In names that are the same a warning would be of one run only."""
    paths = [
        write_run(tmp_path / host / "exp" / "run0001", healthy(length), seed=seed)
        for seed, (host, length) in enumerate([("a", 40), ("b", 5), ("c", 40)])
    ]
    found = compare(paths)
    assert [run.name for run in found.runs] == [f"{x}/exp/run0001" for x in "abc"]
    assert any(w.startswith("unequal budgets: b/exp/run0001") for w in found.warnings)


def test_a_run_that_is_named_twice_is_one_run(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run0001", healthy(20))
    (tmp_path / "link").symlink_to(path)
    other = write_run(tmp_path / "run0002", healthy(20), seed=2)
    spelled = [path, tmp_path / "x" / ".." / "run0001", other, tmp_path / "link"]
    found = compare(spelled)
    assert [run.path for run in found.runs] == [str(path), str(other)]


def test_settings_that_a_log_does_not_hold_are_no_differences(tmp_path: Path) -> None:
    """A log of Stable-Baselines3 and a run without its config.yaml hold none."""
    ours = runs(tmp_path, {1e-3: 0.0, 1e-4: 0.0}, seeds=1)
    bare = write_run(tmp_path / "run0009", healthy(20))
    (bare / "config.yaml").unlink()
    found = compare([*ours, foreign_run(tmp_path, "sb3"), bare])
    assert found.differing == {"ppo.learning_rate": [1e-3, 1e-4, None, None]}
    assert [group.label for group in found.groups][2:] == ["sb3", "run0009"]
    assert not compare([ours[0], bare]).differing
    one, two = {"ppo.gamma": 0.9, "ppo.new": 1}, {"ppo.gamma": 0.9}
    assert differences([one, two]) == {"ppo.new": [1, None]}  # an older version of ours


def test_a_run_that_was_resumed_with_another_interval_of_evaluations_is_pooled(
    tmp_path: Path,
) -> None:
    paths = [write_run(tmp_path / f"run000{n}", healthy(20, seed=n), seed=n) for n in (1, 2)]
    former = yaml.safe_load((paths[1] / "config.yaml").read_text())
    former["evaluation"] = {"interval": 3}
    former["system"]["threads"] = 4
    (paths[1] / "config.batch0014.yaml").write_text(yaml.safe_dump(former))
    found = compare(paths)
    assert [len(group.runs) for group in found.groups] == [2]
    assert not any("resumed with other settings" in warning for warning in found.warnings)


def test_a_run_that_repeats_another_is_no_seed_of_its_own(tmp_path: Path) -> None:
    """A single batch before the training, and the same command twice."""
    records = healthy(20, seed=1)
    paths = [write_run(tmp_path / "run0001", records[:1]), write_run(tmp_path / "run0002", records)]
    paths.append(write_run(tmp_path / "run0003", records))
    paths.append(write_run(tmp_path / "run0004", healthy(20, seed=2), seed=2))
    paths.append(write_run(tmp_path / "run0005", healthy(20, seed=9)))  # the seed, other numbers
    found = compare(paths)
    assert [run.name for run in found.groups[0].runs] == ["run0002", "run0004", "run0005"]
    told = [warning for warning in found.warnings if "left out" in warning]
    assert told[0].startswith("run0001 is left out: its 1 batch is that of run0002")
    assert told[1].startswith("run0003 is left out: its 20 batches are those of run0002")
    assert any("the same seed more than once" in warning for warning in found.warnings)


def test_a_folder_of_runs_stands_for_all_of_them(tmp_path: Path) -> None:
    """One of them alone, under the folder's name, would be taken for the whole."""
    paths = runs(tmp_path / "results", {1e-3: 0.0, 1e-4: 300.0}, seeds=2)
    write_run(tmp_path / "results/experiment0001/jobs/0001/run0001", healthy(9, seed=5), seed=5)
    names = [run.name for run in compare([tmp_path / "results", paths[0]]).runs]
    assert len(names) == len(set(names)) == 5


def test_a_log_that_was_chosen_among_several_is_noted(tmp_path: Path) -> None:
    for name in ("a", "b"):
        event_file(tmp_path / name / "events.out.tfevents.1", {"rollout/ep_rew_mean": [(1, 2.0)]})
    warnings = compare([tmp_path]).warnings
    assert any("the newest of 2 folders with logs" in warning for warning in warnings)


def test_runs_of_other_settings_repeat_nothing(tmp_path: Path) -> None:
    """Two that have not moved, in one group by a pattern."""
    records = healthy(20, seed=1)
    paths = [
        write_run(tmp_path / f"run000{n}", records, settings(rate))
        for n, rate in enumerate((1e-5, 1e-6))
    ]
    assert [len(group.runs) for group in compare(paths, "run").groups] == [2]
