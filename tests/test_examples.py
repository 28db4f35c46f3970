"""A user's own scripts, and the code of docs/callbacks.md, run as they stand."""

from __future__ import annotations

import json
import re
import runpy
import shlex
import sys
from pathlib import Path

import pytest

from ppo import Config
from ppo.cli import main
from ppo.testing import check_auxiliary_loss, check_encoder, check_value_loss

ROOT = Path(__file__).parents[1]
EXTRAS = {
    "gymnax_environment": "gymnax",
    "brax_environment": "brax",
    "envpool_environment": "envpool",
    "tune": "optuna",
}
EXAMPLES = [
    pytest.param(path, id=path.stem, marks=[pytest.mark.slow] if path.stem in EXTRAS else [])
    for path in sorted((ROOT / "examples").glob("*.py"))
]
TINY = [
    "env.num_envs=4", "ppo.num_steps=16", "ppo.num_minibatches=2", "ppo.num_epochs=2",
    "train.total_timesteps=192", "evaluation.interval=1", "evaluation.episodes=2",
    "network.hidden_sizes=[8]", "env.calibration_steps=8", "system.compile=never",
    "system.device=cpu",
]  # fmt: skip


def batches(folder: Path) -> list[dict]:
    return json.loads((folder / "loss_metrics.json").read_text())["batches"]


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_runs_and_stays_short(example, tmp_path, monkeypatch):
    assert len(example.read_text().splitlines()) <= 60
    if example.stem in EXTRAS:
        pytest.importorskip(EXTRAS[example.stem])
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(example.parent))  # as Python does for a script
    monkeypatch.setattr(sys, "argv", [str(example), *TINY])
    runpy.run_path(str(example), run_name="__main__")
    run = tmp_path / "training_results" / "run0001"
    assert json.loads((run / "summary.json").read_text())["status"] == "finished"
    assert len(batches(run)) == 3
    if example.stem == "custom_metric":
        assert all(record["custom/mean_kl"] > 0 for record in batches(run))
    if example.stem == "trackers":
        assert len((run / "figures.jsonl").read_text().splitlines()) == 3 + 3  # and evaluations
    if example.stem == "fine_tuning":
        assert "statistics start from run0001" in str(batches(run.parent / "run0002")[0]["events"])


def test_the_parts_of_the_examples_keep_the_laws(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    check_encoder("own_encoder:Residual", width=8)
    check_value_loss("own_value_loss:LogCosh", sharpness=2.0)
    check_auxiliary_loss("own_auxiliary_loss:LastAction", env="CartPole-v1", weight=0.05)


def test_the_code_of_the_page_on_parts_runs(tmp_path, monkeypatch):
    page = (ROOT / "docs" / "parts.md").read_text()
    module, test = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (tmp_path / "my_parts.py").write_text(module)
    monkeypatch.chdir(tmp_path)
    command = re.search(r"train_cli.py (--mode train .*)", page)
    sets = [word for item in ["env.id=CartPole-v1", *TINY] for word in ("--set", item)]
    assert command is not None and main([*shlex.split(command[1]), *sets]) == 0
    space: dict[str, object] = {}
    exec(test, space)
    space["test_my_encoder"]()


def test_the_code_of_the_page_on_callbacks_runs(tmp_path, monkeypatch):
    page = (ROOT / "docs" / "callbacks.md").read_text()
    code = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    assert code is not None and len(page.splitlines()) <= 60
    monkeypatch.chdir(tmp_path)
    Path("config.yaml").write_text(Config.load(overrides=["env.id=CartPole-v1", *TINY]).to_yaml())
    exec(code[1].replace("== 100", "== 1"), {})
    records = batches(tmp_path / "training_results" / "run0001")
    assert records[0]["custom/twice_kl"] == 2 * records[0]["approx_kl"]
    assert records[2]["learning_rate"] < 0.6 * records[1]["learning_rate"]
