"""Every mode at 80 columns: no line is longer, but for what is there to be copied whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from insight_runs import SETTINGS, healthy, write_run

from ppo.cli import main, modes
from ppo.insight.comparison.tables import fitting, lines_of

SMALL = [
    "env.num_envs=4", "ppo.num_steps=16", "ppo.num_minibatches=2", "ppo.num_epochs=1",
    "env.calibration_steps=8", "system.compile=never",
]  # fmt: skip
SETS = [f"--set={setting}" for setting in SMALL]
TRAIN = [*SETS, "--set=evaluation.episodes=2"]
COPIED = ("files   |", "next    |", "output  |", "page: ", "read ")  # a path or a command


def too_long(text: str, columns: int = 80) -> list[str]:
    return [x for x in text.splitlines() if len(x) > columns and not x.startswith(COPIED)]


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of long names and many settings, healthy and ill, and one that was trained."""
    folder = tmp_path_factory.mktemp("results")
    trained = ["--mode", "single_batch", "--quiet", "--results", str(folder), *TRAIN]
    assert main(trained) == 0
    for i, rate in enumerate((1e-3, 1e-3, 3e-4, 1e-4, 1e-5, 1e-6, 1e-7)):
        tree = json.loads(json.dumps(SETTINGS))
        tree["ppo"] |= {"learning_rate": rate, "normalize_returns": i > 2}
        tree["env"] |= {"kwargs": {"a_long_name": "w" * i}, "id": f"a_module:Environment{i}-v0"}
        records = healthy(40, seed=i, scale=10.0**i, level=1e5)
        if i == 6:
            records = [r | {"approx_kl": 0.8, "clip_fraction": 0.6} for r in records]
        write_run(folder / f"run_of_a_long_name_{i}", records, tree, seed=i)
    return folder


MODES = {
    "single_batch": TRAIN,
    "train": [*TRAIN, "--set=train.total_timesteps=192", "--verbose"],
    "inspect": [*SETS, "--steps=200", "--set=env.id=CartPole-v1"],
    "benchmark": ["--seconds=0.01", *SETS],
    "evaluate": ["--run=run0001", "--episodes=2"],
    "options": [],
    "diagnose": ["--verbose"],
}


@pytest.mark.parametrize("mode", MODES)
def test_what_a_mode_prints_fits(
    mode: str, results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {
        "single_batch": ["--results", str(tmp_path)],
        "train": ["--results", str(tmp_path)],
        "evaluate": ["--results", str(results)],
        "diagnose": [str(results / "run_of_a_long_name_6")],
    }
    assert main(["--mode", mode, *MODES[mode], *places.get(mode, [])]) == 0
    text = capsys.readouterr().out
    assert text.count("\n") > 3 and too_long(text) == []


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_a_comparison_fits(count: int, results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [str(results / f"run_of_a_long_name_{i}") for i in range(count)]
    assert main(["--mode", "compare", *paths]) == 0
    text = capsys.readouterr().out
    assert "interquartile mean" in text and too_long(text) == []


@pytest.mark.parametrize("mode", [None, *modes.names()])
def test_the_help_fits(mode: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    main([*(["--mode", mode] if mode else []), "--help"])
    text = capsys.readouterr().out
    assert "--mode" in text and too_long(text) == []


def test_a_table_of_many_columns_becomes_several_of_the_same_rows() -> None:
    heads = ["setting", *(f"column {i}" for i in range(12))]
    grid = [heads, *([f"row {i}", *["-1.23e-10"] * 12] for i in range(3))]
    tables = [lines_of(table, 80) for table in fitting("title", grid, 80)]
    assert len(tables) > 1 and not any(too_long("\n".join(lines)) for lines in tables)
    assert all("row 2" in "\n".join(lines) for lines in tables)
    text = " ".join(" ".join(lines) for lines in tables)
    assert all(head in text for head in heads) and text.count("-1.23e-10") == 36
