"""The page of one run: what it holds, that it is safe, and that a browser draws it."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from browser import drawn, needs_chromium
from insight_runs import SETTINGS, healthy, write_run

from ppo.insight.comparison.report import Ended, report
from ppo.insight.doctor import judge
from ppo.insight.logs.own import flatten

SUMMARY = {
    "status": "finished",
    "final_return": 612.3,
    "final_return_ci95": [600.0, 625.0],
    "best_evaluation": {"mean_return": 640.0, "episodes": 20, "batch": 30},
    "env_steps": 163_840,
    "batches": 40,
    "wall_time_s": 65.0,
}


def _page(
    folder: Path,
    sick: bool = False,
    settings: dict | None = None,
    shipped: dict | None = None,
    **more,
) -> str:
    records = healthy(40)
    if sick:
        for record in records:
            record |= {"approx_kl": 0.4, "approx_kl_last_epoch": 0.4}
            record |= {"approx_kl_first_epoch": 0.2, "clip_fraction": 0.6}
    write_run(folder, records, settings)
    own = flatten(SETTINGS if settings is None else settings)
    shipped = flatten(SETTINGS) if shipped is None else shipped
    rows = [{"env_steps": 40_000 * i, "mean_return": 100.0 * i} for i in (1, 2, 3)]
    ended = Ended(
        SUMMARY | more, judge(folder), own, shipped, rows, "run0001", Path("runs/run0001")
    )
    return report(folder, ended)


def test_a_healthy_run_has_its_result_and_how_to_go_on(tmp_path: Path) -> None:
    text = _page(tmp_path / "run0001")
    assert "612 over the last 100 episodes of training, 95 % interval 600 to 625" in text
    assert "healthy: no rule fired" in text and 'id="findings"' not in text
    assert "--mode evaluate --run run0001" in text
    assert "--resume run0001 --set train.total_timesteps=327680" in text
    assert "All as shipped." in text


def test_an_ill_run_has_its_findings_and_the_advice_to_type(tmp_path: Path) -> None:
    text = _page(tmp_path / "run0001", sick=True)
    assert "ill: learning rate too high" in text
    advice = re.search(r"<code>(ppo.learning_rate=[\d.e-]+)</code>", text)
    assert advice and float(advice[1].partition("=")[2]) < 1e-3
    assert f"--mode train --config runs/run0001/config.yaml --set {advice[1]}" in text
    assert "--mode diagnose run0001" in text and "train.total_timesteps=" not in text


def test_an_interrupted_run_is_resumed_first(tmp_path: Path) -> None:
    text = _page(tmp_path / "run0001", status="interrupted", reason=None)
    commands = re.findall(r"<dd>(.*?)</dd>", text)
    assert commands[0].endswith("--mode train --resume run0001")


def test_its_commands_are_those_of_the_program_that_trained(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/opt/bin/ppo", "--mode", "train"])  # as pip installs it
    commands = re.findall(r"<dd>(.*?)</dd>", _page(tmp_path / "run0001"))
    assert len(commands) > 2 and all(line.startswith("ppo --mode ") for line in commands)


@pytest.mark.parametrize(("high", "worse"), [(700.0, True), (770.0, False)])
def test_an_evaluation_stands_beside_the_training(tmp_path: Path, high: float, worse: bool) -> None:
    best = {"mean_return": 650.0, "ci95": [600.0, high], "batch": 60, "episodes": 20}
    facts = {"final_return_ci95": [720.0, 780.0], "best_evaluation": best}
    settings = SETTINGS | {"evaluation": {"deterministic": True}}
    text = _page(tmp_path / "run0001", settings=settings, **facts)
    assert "650 over 20 episodes, of the policy without its noise, after 60 batches" in text
    assert ("worse than with it: evaluation.deterministic=false" in text) == worse


@pytest.mark.parametrize(("exit_status", "goes_on"), [(1, True), (4, False)])
def test_a_failed_run_is_resumed_unless_it_diverged(
    tmp_path: Path, exit_status: int, goes_on: bool
) -> None:
    text = _page(tmp_path / "run0001", status="failed", reason="a bug", exit_status=exit_status)
    assert ("go on where it stopped, once that is mended" in text) == goes_on
    assert ("--mode train --resume run0001" in text) == goes_on


def test_settings_that_differ_stand_beside_the_shipped_ones(tmp_path: Path) -> None:
    settings = {**SETTINGS, "ppo": {**SETTINGS["ppo"], "learning_rate": 0.0005}}
    text = _page(tmp_path / "run0001", settings=settings)
    cells = re.search(r'id="settings".*?</table>', text, flags=re.DOTALL)
    assert cells and re.findall(r"<code>(.*?)</code>", cells[0]) == [
        "ppo.learning_rate",
        "0.0005",
        "0.001",
    ]


def test_settings_that_were_chosen_stand_apart_from_those_that_were_given(tmp_path: Path) -> None:
    settings = {
        **SETTINGS,
        "env": {**SETTINGS["env"], "num_envs": 48},
        "auto": {"settings": ["env.num_envs"], "steps": 300},
        "train": {"total_timesteps": 5},
    }
    shipped = flatten(SETTINGS) | {"env.num_envs": "auto"}
    text = _page(tmp_path / "run0001", settings=settings, shipped=shipped)
    cells = re.search(r'id="settings".*?</table>', text, flags=re.DOTALL)
    assert cells and re.findall(r"<code>(.*?)</code>", cells[0]) == ["train.total_timesteps", "5"]
    chosen = re.search(r'id="chosen".*?</p>', text, flags=re.DOTALL)
    assert chosen and re.findall(r"<code>(.*?)</code>", chosen[0]) == ["env.num_envs=48"]


def test_what_a_run_names_cannot_break_out_of_its_page(tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script>"
    settings = {**SETTINGS, "env": {**SETTINGS["env"], "id": evil}}
    text = _page(tmp_path / "run0001", settings=settings, reason=evil)
    assert "<script>alert" not in text and text.count("</script>") == 2


def test_a_run_of_one_batch_and_one_without_doctor_have_a_page(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run0001", healthy(1))
    text = report(run, Ended({"status": "failed", "reason": "disk full"}, None, {}, {}))
    assert "failed: disk full" in text and "not asked (logging.doctor: false)" in text
    empty = write_run(tmp_path / "run0002", [])
    assert "run0002" in report(empty, Ended({}, None, {}, {}))


@needs_chromium
@pytest.mark.slow
def test_a_browser_draws_the_report(tmp_path: Path) -> None:
    settings = {**SETTINGS, "env": {**SETTINGS["env"], "id": "a_module.of_long:NamesEverywhere-v0"}}
    file = tmp_path / "report.html"
    file.write_text(_page(tmp_path / "run0001", sick=True, settings=settings))
    dom = drawn(file, tmp_path)
    assert dom.count('stroke-dasharray="5 4"') == 1, "evaluations are drawn beside the training"
    assert "<title>run0001: learning_rate_too_high</title>" in dom
