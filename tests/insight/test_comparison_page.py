"""The page and the table of figures that a comparison leaves."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from browser import drawn, needs_chromium
from compared_runs import runs, settings
from insight_runs import healthy, write_run

from ppo.cli.main import main
from ppo.core.figures import compact, number
from ppo.core.metrics import compared
from ppo.insight import comparison
from ppo.insight.comparison.compare import compare
from ppo.insight.comparison.curves import data
from ppo.insight.comparison.page import page
from ppo.insight.comparison.statistics import iqm
from ppo.insight.comparison.tables import as_csv


def test_csv_holds_every_run_and_metric(tmp_path: Path) -> None:
    found = compare(runs(tmp_path, {1e-3: 0.0, 1e-4: 5.0}, seeds=2))
    rows = list(csv.DictReader(as_csv(found).splitlines()))
    returns = [row for row in rows if row["metric"] == "mean_episode_return"]
    assert len(returns) == 4
    finals = [float(row["final"]) for row in returns[:2]]
    assert iqm(finals) == iqm(found.groups[0].scores("mean_episode_return"))


def test_a_page_is_named_after_all_its_seeds_and_costs_are_of_runs_that_tell_theirs(
    tmp_path: Path,
) -> None:
    paths = [write_run(tmp_path / f"run000{i}", healthy(9), seed=i) for i in (1, 2, 3)]
    spent = {"status": "finished", "time": {"collect": 40.0, "update": 60.0}}
    (paths[0] / "summary.json").write_text(json.dumps(spent))  # two others were killed
    text = page(compare(paths))
    assert "<h1>run0001 +2: Made-v0</h1>" in text
    row = re.search(r'id="cost".*?<tbody>(.*?)</tbody>', text, flags=re.DOTALL)
    assert row and row[1].endswith("<td>40</td><td>60</td></tr>")


def test_names_from_a_run_cannot_break_out_of_the_page(tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script>"
    tree = settings(1e-3)
    tree["env"]["id"] = evil
    run = write_run(tmp_path / "run0001", healthy(30), tree)
    other = write_run(tmp_path / "run0002", healthy(30), settings(1e-3))
    text = page(compare([run, other]))
    assert "<script>alert" not in text
    assert text.count("</script>") == 2


def test_an_installed_package_holds_the_files_of_the_page() -> None:
    folder = Path(comparison.__file__).parent
    kept = [path.name for path in folder.iterdir() if path.suffix in (".css", ".html", ".js")]
    project = tomllib.loads((folder.parents[2] / "pyproject.toml").read_text())
    assert sorted(kept) == project["tool"]["setuptools"]["package-data"]["ppo.insight.comparison"]


def test_the_page_names_no_other_place(tmp_path: Path) -> None:
    text = page(compare(runs(tmp_path, {1e-3: 0.0, 1e-4: 5.0}, seeds=2)))
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
    found = compare(runs(tmp_path / "runs", {1e-3: 0.0, 1e-4: 300.0}, seeds=3))
    file = tmp_path / "page.html"
    file.write_text(page(found))
    dom = drawn(file, tmp_path)
    shown = iqm(found.groups[1].scores("mean_episode_return"))
    cells = re.search(r'id="headline".*?</table>', dom, flags=re.DOTALL)
    assert cells and number(shown) in cells[0]


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


@pytest.mark.parametrize(("groups", "columns"), [(4, 5), (6, 2)])
def test_many_groups_are_rows_of_the_page(tmp_path: Path, groups: int, columns: int) -> None:
    """A column each would be beyond the edge of any screen."""
    rates = {10.0**-i: 0.0 for i in range(2, 2 + groups)}
    text = page(compare(runs(tmp_path, rates, seeds=1)))
    differing = text.split('id="differing"')[1].split("</thead>")[0]
    assert differing.count("<th>") == columns


def test_the_mean_of_a_group_goes_as_far_as_all_of_its_seeds(tmp_path: Path) -> None:
    """What is left after the worst seed has ended is another group."""
    logs = [healthy(n, seed=n, level=float(n)) for n in (40, 30, 10)]
    paths = [write_run(tmp_path / f"run{n}", log, seed=n) for n, log in enumerate(logs)]
    band = data(compare(paths))["groups"][0]["bands"]["mean_episode_return"]
    assert band["x"][-1] == logs[2][-1]["env_steps"] < logs[1][-1]["env_steps"]
    paths.append(write_run(tmp_path / "run3", healthy(1, seed=3), seed=3))
    assert not data(compare(paths))["groups"][0]["bands"]["mean_episode_return"]["x"]
    paths[3] = write_run(tmp_path / "run4", [], seed=3)
    assert not data(compare(paths))["groups"][0]["bands"]["mean_episode_return"]["x"]


@needs_chromium
@pytest.mark.slow
def test_no_two_of_many_groups_look_alike(tmp_path: Path) -> None:
    """There are eight colors."""
    rates = {(n + 1) * 1e-4: 10.0 * n for n in range(20)}
    file = tmp_path / "page.html"
    file.write_text(page(compare(runs(tmp_path / "runs", rates, seeds=1))))
    dom = drawn(file, tmp_path)
    chart = dom.split("<figure>")[1]
    strokes = re.findall(r'stroke="(var\(--c\d\))".*?stroke-dasharray="(.*?)"', chart)
    assert len(strokes) == len(set(strokes)) == 20
    swatches = re.findall(r'class="(swatch .*?)"', dom.split('id="legend"')[1])
    assert len(set(swatches)) == 20
    style = (Path(comparison.__file__).parent / "page.css").read_text()
    assert all(f".{name}{{" in style for name in ("d1", "d2", "d3"))


def test_files_are_whole_where_nobody_reads_the_tables_to_their_end(tmp_path: Path) -> None:
    """Names need not be UTF-8."""
    for seed in (1, 2):
        run = write_run(tmp_path / f"run{seed}", healthy(20), seed=seed)
    odd = os.fsencode(run) + b"\xff"
    os.rename(run, odd)
    words = [sys.executable, "-m", "ppo", "--mode", "compare", "run1", odd]
    words += ["--csv", "out.csv", "--html", "page.html"]
    read, write = os.pipe()
    os.close(read)
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(words, stdout=write, stderr=subprocess.PIPE, cwd=tmp_path, env=env)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, b"")
    assert (tmp_path / "out.csv").read_bytes().count(b"run2\xff") == len(compared())
    assert b"run2\xff" in (tmp_path / "page.html").read_bytes()
