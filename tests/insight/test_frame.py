"""`read_runs` gives every number of every batch to pandas."""

from __future__ import annotations

import json
import sys

import pytest
from insight_runs import SETTINGS, healthy, write_run
from learner_tools import settings

import ppo
from ppo import Trainer
from ppo.core.errors import UserError

pd = pytest.importorskip("pandas")


def test_a_row_is_a_batch_with_its_run_and_group(tmp_path):
    for rate in ("1e-3", "1e-4"):
        for seed in (1, 2):
            more = {"ppo__learning_rate": rate, "system__seed": seed, "evaluation__interval": 0}
            config = settings("CartPole-v1", train__total_timesteps=128, **more)
            Trainer(config, tmp_path / "deep" if rate == "1e-4" else tmp_path).train()
    table = ppo.read_runs(tmp_path)
    assert len(table) == 8 and not table.duplicated(["run", "batch"]).any()
    groups = table.groupby("run").group.first()
    assert dict(groups) == {
        "run0001": "ppo.learning_rate=0.001", "run0002": "ppo.learning_rate=0.001",
        "deep/run0001": "ppo.learning_rate=0.0001", "deep/run0002": "ppo.learning_rate=0.0001",
    }  # fmt: skip
    assert sorted(table.seed.unique()) == [1, 2]
    assert table["components.reward.loss"].notna().all()
    assert table.approx_kl.dtype == float and table.success_rate.isna().all()
    one = ppo.read_runs(tmp_path / "run0001")
    assert set(one.run) == {"run0001"} and set(one.group) == {"all"} and len(one) == 2


def test_no_run_and_no_pandas_are_told_in_a_line(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="no run in it"):
        ppo.read_runs(tmp_path)
    monkeypatch.setitem(sys.modules, "pandas", None)
    monkeypatch.setattr("ppo.core.program.checkout", lambda: None)  # installed from a wheel
    line = r'extra "pandas": pip install "ppo-stable-values\[pandas\]"'
    with pytest.raises(UserError, match=line) as error:
        ppo.read_runs(tmp_path)
    assert len(error.value.messages) == 1


def test_runs_are_grouped_by_what_was_asked_for(tmp_path):
    """Two seeds may be given different numbers for `auto`; of a broken config nothing is known."""
    for seed, chosen in ((1, 5), (2, 10)):
        tree = json.loads(json.dumps(SETTINGS))
        tree["ppo"]["num_epochs"] = chosen
        tree["auto"] = {"settings": ["ppo.num_epochs"]}
        write_run(tmp_path / f"run000{seed}", healthy(3), tree, seed=seed)
    broken = write_run(tmp_path / "run0003", healthy(3))
    (broken / "config.yaml").write_text("env: [broken")
    groups = ppo.read_runs(tmp_path).groupby("run").group.first()
    assert list(groups) == ["all", "all", "settings unknown"]
