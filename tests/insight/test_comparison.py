"""Comparing run folders: grouping, figures, verdicts, and the page in a real browser."""

from __future__ import annotations

import csv
import dataclasses
import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml
from browser import drawn, needs_chromium
from insight_runs import SETTINGS, event_file, healthy, write_run

from ppo.cli.main import main
from ppo.config import Config
from ppo.config.words import known_paths
from ppo.core.errors import UserError
from ppo.core.figures import compact, number
from ppo.insight import comparison
from ppo.insight.comparison.compare import compare
from ppo.insight.comparison.curves import data
from ppo.insight.comparison.groups import differences, group_runs
from ppo.insight.comparison.page import page, write_html
from ppo.insight.comparison.statistics import iqm
from ppo.insight.comparison.tables import interval, print_tables, write_csv
from ppo.insight.comparison.verdicts import CHANCE, ONE_SEED, OPEN

SAMPLES = Path(__file__).parent / "samples"


def _settings(rate: float) -> dict:
    tree = json.loads(json.dumps(SETTINGS))
    tree["ppo"]["learning_rate"] = rate
    return tree


def _runs(
    folder: Path, levels: dict[float, float], seeds: int = 4, batches: int = 40
) -> list[Path]:
    """Runs of each learning rate, whose returns lie at a level, with noise between seeds."""
    paths = []
    for rate, level in levels.items():
        for seed in range(seeds):
            noise = 10 * np.random.default_rng([int(rate * 1e6), seed]).normal()
            records = healthy(batches, seed=seed, level=level + noise)
            path = folder / f"run{len(paths) + 1:04d}"
            paths.append(write_run(path, records, _settings(rate), seed=seed))
    return paths


def test_runs_that_differ_in_their_seed_only_are_one_group(tmp_path: Path) -> None:
    found = compare(_runs(tmp_path, {1e-3: 0.0, 1e-4: 0.0}))
    assert [len(group.runs) for group in found.groups] == [4, 4]
    assert found.differing == {"ppo.learning_rate": [1e-3, 1e-4]}


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
    paths = _runs(tmp_path / "results", {1e-3: 0.0, 1e-4: 300.0}, seeds=2)
    write_run(tmp_path / "results/experiment0001/jobs/0001/run0001", healthy(9, seed=5), seed=5)
    names = [run.name for run in compare([tmp_path / "results", paths[0]]).runs]
    assert len(names) == len(set(names)) == 5


def test_a_log_that_was_chosen_among_several_is_noted(tmp_path: Path) -> None:
    for name in ("a", "b"):
        event_file(tmp_path / name / "events.out.tfevents.1", {"rollout/ep_rew_mean": [(1, 2.0)]})
    warnings = compare([tmp_path]).warnings
    assert any("the newest of 2 folders with logs" in warning for warning in warnings)


def test_the_mean_of_a_group_goes_as_far_as_all_of_its_seeds(tmp_path: Path) -> None:
    """What is left after the worst seed has ended is another group."""
    runs = [healthy(n, seed=n, level=float(n)) for n in (40, 30, 10)]
    paths = [write_run(tmp_path / f"run{n}", run, seed=n) for n, run in enumerate(runs)]
    band = data(compare(paths))["groups"][0]["bands"]["mean_episode_return"]
    assert band["x"][-1] == runs[2][-1]["env_steps"] < runs[1][-1]["env_steps"]
    paths.append(write_run(tmp_path / "run3", healthy(1, seed=3), seed=3))
    assert not data(compare(paths))["groups"][0]["bands"]["mean_episode_return"]["x"]
    paths[3] = write_run(tmp_path / "run4", [], seed=3)
    assert not data(compare(paths))["groups"][0]["bands"]["mean_episode_return"]["x"]


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


def test_a_clear_difference_is_told_and_its_absence_is_not(tmp_path: Path) -> None:
    found = compare(_runs(tmp_path, {1e-3: 0.0, 1e-4: 300.0, 1e-5: 0.0, 1e-2: -300.0}))
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
        paths.append(write_run(tmp_path / name, records, _settings(1e-3 + level * 1e-6)))
    found = compare(paths)
    assert [(v.metric.name, v.word) for v in found.verdicts] == [("mean_episode_return", ONE_SEED)]
    line = found.verdicts[0].line()
    spread = np.std([100, 90, 100, 90, 100, 90], ddof=1)  # of the last tenth of 60 batches
    assert f"differ by +50, and the batches of that tenth by {number(spread)}" in line
    print_tables(found)
    text = page(found)
    assert "more seed" not in text and "p nan" not in text and "cannot tell" not in text
    assert found.verdicts[0].short() == "+50, one seed"


def _foreign(folder: Path, name: str, level: float = 0.0) -> Path:
    """A log of Stable-Baselines3, which tells neither its seed nor its environment."""
    points = [(i * 1000, level + i * 1.0) for i in range(1, 31)]
    tags = {"rollout/ep_rew_mean": points, "train/policy_gradient_loss": points}
    return event_file(folder / name / "events.out.tfevents.1700000000.a", tags).parent


def test_foreign_runs_are_grouped_by_what_a_pattern_finds(tmp_path: Path) -> None:
    names = ["ppo_s1", "ppo_s2", "ppo_big_s1", "ppo_big_s2", "other"]
    paths = [_foreign(tmp_path, name, 10.0 * ("big" in name)) for name in names]
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


def _cleanrl(folder: Path, seed: int, rate: float, env: str = "CartPole-v1") -> Path:
    from torch.utils.tensorboard import SummaryWriter

    rows = {"env_id": env, "learning_rate": rate, "seed": seed, "clip_vloss": True, "track": seed}
    with SummaryWriter(str(folder)) as writer:
        table = "\n".join(f"|{key}|{value}|" for key, value in rows.items())
        writer.add_text("hyperparameters", "|param|value|\n|-|-|\n" + table)
        for i in range(20):
            writer.add_scalar("losses/value_loss", 1.0, 100 * i)
            writer.add_scalar("charts/SPS", 100, 100 * i)
            writer.add_scalar("charts/episodic_return", float(i), 100 * i)
    return folder


def test_runs_of_cleanrl_are_grouped_by_their_text_summary(tmp_path: Path) -> None:
    paths = [
        _cleanrl(tmp_path / f"{rate}-{seed}", seed, rate)
        for rate in (1e-3, 1e-4)
        for seed in (1, 2)
    ]
    found = compare(paths)
    assert [[run.seed for run in group.runs] for group in found.groups] == [[1, 2], [1, 2]]
    assert found.differing == {"ppo.learning_rate": [1e-3, 1e-4]}


def test_runs_on_different_environments_are_warned_of(tmp_path: Path) -> None:
    one = _cleanrl(tmp_path / "a", 1, 1e-3)
    two = _cleanrl(tmp_path / "b", 1, 1e-3, "Pendulum-v1")
    warnings = compare([one, two]).warnings
    assert any("different environments" in w and "Pendulum-v1" in w for w in warnings)


def test_one_run_with_no_batch_yet_is_no_error(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run0001", [], status="running")
    found = compare([path])
    assert any("no batch yet" in warning for warning in found.warnings)
    print_tables(found)
    assert "run0001" in page(found)


def test_a_run_that_is_being_written_is_compared_as_far_as_it_is(tmp_path: Path) -> None:
    paths = _runs(tmp_path, {1e-3: 0.0, 1e-4: 0.0}, seeds=1)
    file = paths[1] / "loss_metrics.json"
    file.write_bytes(file.read_bytes()[:-2000])
    (paths[1] / "summary.json").write_text('{"status": "running"}')
    found = compare(paths)
    assert found.runs[1].batches in (38, 39)
    assert any(warning.startswith("running") for warning in found.warnings)
    assert any("unequal budgets" in warning for warning in found.warnings)


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


def test_the_same_folder_name_from_two_places_stays_told_apart(tmp_path: Path) -> None:
    one = write_run(tmp_path / "a" / "run0001", healthy(5))
    two = write_run(tmp_path / "b" / "run0001", healthy(5), _settings(1e-5))
    assert [run.name for run in compare([one, two]).runs] == ["a/run0001", "b/run0001"]


def test_no_run_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="at least one"):
        compare([])
    with pytest.raises(UserError, match="no loss_metrics.json"):
        compare([tmp_path])


def test_csv_holds_every_run_and_metric(tmp_path: Path) -> None:
    found = compare(_runs(tmp_path, {1e-3: 0.0, 1e-4: 5.0}, seeds=2))
    write_csv(found, tmp_path / "out.csv")
    with (tmp_path / "out.csv").open() as file:
        rows = list(csv.DictReader(file))
    returns = [row for row in rows if row["metric"] == "mean_episode_return"]
    assert len(returns) == 4
    finals = [float(row["final"]) for row in returns[:2]]
    assert iqm(finals) == found.aggregate(found.groups[0], "mean_episode_return", "final")[0]


def test_names_from_a_run_cannot_break_out_of_the_page(tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script>"
    tree = _settings(1e-3)
    tree["env"]["id"] = evil
    run = write_run(tmp_path / "run0001", healthy(30), tree)
    other = write_run(tmp_path / "run0002", healthy(30), _settings(1e-3))
    text = page(compare([run, other]))
    assert "<script>alert" not in text
    assert text.count("</script>") == 2


def test_an_installed_package_holds_the_files_of_the_page() -> None:
    folder = Path(comparison.__file__).parent
    kept = [path.name for path in folder.iterdir() if path.suffix in (".css", ".html", ".js")]
    project = tomllib.loads((folder.parents[2] / "pyproject.toml").read_text())
    assert sorted(kept) == project["tool"]["setuptools"]["package-data"]["ppo.insight.comparison"]


def test_the_page_names_no_other_place(tmp_path: Path) -> None:
    text = page(compare(_runs(tmp_path, {1e-3: 0.0, 1e-4: 5.0}, seeds=2)))
    addresses = set(re.findall(r"https?://[^\s\"'<)]+", text))
    assert addresses == {"http://www.w3.org/2000/svg"}  # a name, which nobody fetches
    assert not re.search(r"<(script|img|iframe|link)[^>]+(src|href)=(?!\"data:)", text)


@pytest.mark.skipif(shutil.which("node") is None, reason="no node")
def test_the_page_writes_figures_as_the_terminal_does() -> None:
    script = (Path(comparison.__file__).parent / "page.js").read_text()
    show = script[script.index("function show(") : script.index("function ticks(")]
    values = [sign * 1.2344 * 10.0**n for n in range(-12, 18) for sign in (1, -1)]
    values += [0.0, 1e-10, 1e4, 9999.0, 999_999.0, 1e6, 0.5, 999.7]
    text = f"{show}\nconsole.log(JSON.stringify({json.dumps(values)}.map(show)))"
    done = subprocess.run(["node", "-e", text], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [compact(value) for value in values]


@needs_chromium
@pytest.mark.slow
def test_a_browser_draws_the_page_and_asks_for_nothing(tmp_path: Path) -> None:
    found = compare(_runs(tmp_path / "runs", {1e-3: 0.0, 1e-4: 300.0}, seeds=3))
    file = tmp_path / "page.html"
    write_html(found, file)
    dom = drawn(file, tmp_path)
    shown = found.aggregate(found.groups[1], "mean_episode_return", "final")[0]
    cells = re.search(r'id="headline".*?</table>', dom, flags=re.DOTALL)
    assert cells and number(shown) in cells[0]


@needs_chromium
@pytest.mark.slow
def test_no_two_of_many_groups_look_alike(tmp_path: Path) -> None:
    """There are eight colors."""
    rates = {(n + 1) * 1e-4: 10.0 * n for n in range(20)}
    file = tmp_path / "page.html"
    write_html(compare(_runs(tmp_path / "runs", rates, seeds=1)), file)
    dom = drawn(file, tmp_path)
    chart = dom.split("<figure>")[1]
    strokes = re.findall(r'stroke="(var\(--c\d\))".*?stroke-dasharray="(.*?)"', chart)
    assert len(strokes) == len(set(strokes)) == 20
    swatches = re.findall(r'class="(swatch .*?)"', dom.split('id="legend"')[1])
    assert len(set(swatches)) == 20
    style = (Path(comparison.__file__).parent / "page.css").read_text()
    assert all(f".{name}{{" in style for name in ("d1", "d2", "d3"))


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


def _lose(run: Path, records: list[dict], seed: int, status: str = "failed") -> None:
    """Gives a run other records and another end."""
    shutil.rmtree(run)
    write_run(run, records, _settings(1e-4), status, seed)


def test_a_group_is_not_called_better_for_the_runs_it_lost(tmp_path: Path) -> None:
    """Of five seeds two do well; of the others no episode ended, or they diverged early."""
    paths = _runs(tmp_path, {1e-3: 0.0, 1e-4: 300.0}, seeds=5)
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
    assert interval(found, found.groups[1], "mean_episode_return", "final").endswith(" (4 of 5)")
    print_tables(found)
    assert lost in page(found)
    against = compare([*paths[5:], *paths[:5]]).verdicts[0]  # the baseline lost them
    assert against.word == OPEN


def test_a_group_that_lost_runs_may_be_worse(tmp_path: Path) -> None:
    paths = _runs(tmp_path, {1e-3: 300.0, 1e-4: 0.0}, seeds=5)
    _lose(paths[9], healthy(4, level=0.0), 4)
    verdict = compare(paths).verdicts[0]
    assert verdict.word == "worse" and "; 1 of the 5 runs of" in verdict.line()


def test_the_noise_of_a_single_batch_is_not_asked(tmp_path: Path) -> None:
    short = [record | {"mean_episode_return": 5.0} for record in healthy(1)]
    paths = [write_run(tmp_path / "run0001", healthy(40), _settings(1e-3))]
    paths.append(write_run(tmp_path / "run0002", short, _settings(1e-4)))
    assert np.isfinite(compare(paths).verdicts[0].noise)


def test_a_baseline_that_falls_gives_no_threshold(tmp_path: Path) -> None:
    """Nine tenths of a fall is a return that a run has before it has learned anything."""
    paths = _runs(tmp_path, {1e-3: 0.0, 1e-4: 50.0}, seeds=2)
    for path in paths:
        text = (path / "loss_metrics.json").read_text()
        tree = json.loads(text)
        for i, record in enumerate(tree["batches"]):
            record["mean_episode_return"] = 100.0 - i
        (path / "loss_metrics.json").write_text(json.dumps(tree))
    found = compare(paths)
    assert np.isnan(found.threshold) and found.reach(found.groups[0])[0] == 0
    assert "the baseline&#x27;s return did not rise" in page(found)


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


def test_seeds_beyond_a_hundred_are_no_number(tmp_path: Path) -> None:
    found = compare(_runs(tmp_path, {1e-3: 0.0, 1e-5: 0.0}))
    verdict = found.verdicts[0]
    verdict.difference = dataclasses.replace(verdict.difference, more_seeds=662_865)
    assert "needs over 100 more seeds a group" in verdict.line()


def test_settings_that_a_log_does_not_hold_are_no_differences(tmp_path: Path) -> None:
    """A log of Stable-Baselines3 and a run without its config.yaml hold none."""
    ours = _runs(tmp_path, {1e-3: 0.0, 1e-4: 0.0}, seeds=1)
    bare = write_run(tmp_path / "run0009", healthy(20))
    (bare / "config.yaml").unlink()
    found = compare([*ours, _foreign(tmp_path, "sb3"), bare])
    assert found.differing == {"ppo.learning_rate": [1e-3, 1e-4, None, None]}
    assert [group.label for group in found.groups][2:] == ["sb3", "run0009"]
    assert not compare([ours[0], bare]).differing
    one, two = {"ppo.gamma": 0.9, "ppo.new": 1}, {"ppo.gamma": 0.9}
    assert differences([one, two]) == {"ppo.new": [1, None]}  # an older version of ours


def test_a_group_of_different_settings_is_noted(tmp_path: Path) -> None:
    found = compare(_runs(tmp_path, {1e-3: 0.0, 1e-4: 0.0}, seeds=1), group="run")
    assert "run pools runs that differ in ppo.learning_rate" in found.warnings


def test_an_ended_run_without_a_readable_batch_has_none_to_wait_for(tmp_path: Path) -> None:
    paths = [write_run(tmp_path / f"run000{i}", healthy(20), seed=i) for i in (1, 2, 3)]
    (paths[1] / "loss_metrics.json").write_text("")
    write_run(tmp_path / "run0004", [], status="running")
    found = compare([*paths, tmp_path / "run0004"]).warnings
    assert "ended, and no batch can be read: run0002" in found
    assert "no batch yet: run0004" in found


def test_figures_go_into_a_new_folder_and_a_place_that_refuses_them_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = str(write_run(tmp_path / "run0001", healthy(20)))
    csv_file, page_file = tmp_path / "new" / "a.csv", tmp_path / "other" / "ä b.html"
    given = ["--mode", "compare", run, "--csv", str(csv_file), "--html", str(page_file)]
    assert main(given) == 0 and csv_file.exists() and page_file.exists()
    for flag in ("--csv", "--html"):
        assert main(["--mode", "compare", run, flag, str(tmp_path)]) == 2
        assert f"error: {tmp_path}: cannot be written" in capsys.readouterr().err


def test_two_groups_are_never_called_the_same(tmp_path: Path) -> None:
    """One of the same settings was resumed with others; keys of two sections end alike."""
    paths = _runs(tmp_path, {1e-3: 0.0, 1e-4: 0.0}, seeds=4)
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
    found = compare(_runs(tmp_path, {1e-3: 0.0, 1e-4: 300.0}))
    print_tables(found)
    heads = [line for line in capsys.readouterr().out.splitlines() if line.startswith(" runs ")]
    assert "learning_rate=0.001 " in heads[0] and "learning_rate=0.0001" in heads[0]
    assert " in the mean [" in found.verdicts[0].line()  # beside tables of interquartile means


def test_groups_on_different_environments_are_not_judged(tmp_path: Path) -> None:
    """A return of 300 on one task is no better than one of 0 on another."""
    paths = _runs(tmp_path, {1e-3: 0.0, 1e-4: 300.0, 1e-5: 300.0})
    for path in paths[4:8]:
        tree = yaml.safe_load((path / "config.yaml").read_text())
        tree["env"]["id"] = "Pendulum-v1"
        (path / "config.yaml").write_text(yaml.safe_dump(tree))
    found = compare(paths)
    assert {v.group.runs[0].name for v in found.verdicts} == {"run0009"}
    assert found.verdicts[0].word == "better" and found.reach(found.groups[2])[0]
    assert found.reach(found.groups[1])[0] == 0
    assert any("are not judged: " in warning for warning in found.warnings)


@pytest.mark.parametrize(("groups", "columns"), [(4, 5), (6, 2)])
def test_many_groups_are_rows_of_the_page(tmp_path: Path, groups: int, columns: int) -> None:
    """A column each would be beyond the edge of any screen."""
    rates = {10.0**-i: 0.0 for i in range(2, 2 + groups)}
    text = page(compare(_runs(tmp_path, rates, seeds=1)))
    differing = text.split('id="differing"')[1].split("</thead>")[0]
    assert differing.count("<th>") == columns


def test_what_thinning_hides_is_not_counted_and_the_threshold_is_exact(tmp_path: Path) -> None:
    """Of every tenth batch a shock is seen once in ten times, and a rise up to ten batches late."""
    records = healthy(1000)
    for i, record in enumerate(records):
        record["explained_variance"] = 0.9 if i % 41 else 0.1
        record["mean_episode_return"] = 0.0 if i < 501 or i == 700 else 100.0
    paths = [write_run(tmp_path / "run0001", records)]
    paths.append(write_run(tmp_path / "run0002", records[:350], _settings(1e-3), seed=7))
    found = compare(paths)
    long, short = (run.stability for run in found.runs)
    shocks = "value shocks per million steps"
    assert shocks in short and shocks not in long
    assert long["worst drawdown, share of the gain"] == 1.0
    assert found.reach(found.groups[0])[1] == records[501]["env_steps"]


def test_a_single_seed_is_named_where_the_other_group_has_several(tmp_path: Path) -> None:
    paths = _runs(tmp_path, {1e-3: 0.0, 1e-4: 300.0}, seeds=3)
    line = compare(paths[:4]).verdicts[0].line()
    assert "with one seed of run0004 (learning_rate=0.0001): they" in line
    assert "with one seed a group: they" in compare(paths[2:4]).verdicts[0].line()
