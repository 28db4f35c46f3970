"""Evaluations beside training: at steps or in files of their own, and what is told of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from made_logs import foreign, through

from ppo.insight.doctor import diagnose, report
from ppo.insight.logs import read_log


def sb3(file: Path, evaluated: float) -> Path:
    """progress.csv, whose evaluations are at steps that are no rollout's."""
    rows = []
    for i in range(1, 41):
        rows.append({"time/total_timesteps": 2048 * i, "rollout/ep_rew_mean": 10.0 * i})
        if i % 5 == 0:
            rows.append({"time/total_timesteps": 2048 * i - 500, "eval/mean_reward": evaluated})
    names = ["time/total_timesteps", "rollout/ep_rew_mean", "eval/mean_reward"]
    lines = [",".join(str(row.get(name, "")) for name in names) for row in rows]
    file.write_text("\n".join([",".join(names), *lines]) + "\n")
    return file


def test_evaluations_stand_at_the_batch_that_follows_them(tmp_path: Path) -> None:
    log = read_log(sb3(tmp_path / "progress.csv", 12.0))
    assert len(log) == 40 and np.isfinite(log.get("evaluation_return")).sum() == 8
    assert log.get("evaluation_return")[4] == 12.0
    assert [f.illness for f in diagnose(log)] == ["statistics_missing_at_evaluation"]
    assert "far worse than in training" in report(log, [])
    assert diagnose(read_log(sb3(tmp_path / "good.csv", 395.0))) == []


@pytest.mark.parametrize(
    ("tag", "train", "writer"),
    [("test/reward", "train/reward", "tianshou"), ("eval/return", "train/avg_return", "unknown")],
)
def test_evaluations_of_other_writers_are_told(
    tmp_path: Path, tag: str, train: str, writer: str
) -> None:
    rows = [{"step": 1000 * i, train: 5.0 * i, "train/length": 9} for i in range(1, 31)]
    rows += [{"step": 1000 * i, tag: 900.0} for i in (10, 20, 30)]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    log = read_log(tmp_path)
    assert log.writer == writer and log.get("evaluation_return")[-1] == 900.0
    assert "return in evaluations 900, far better than in training" in report(log, [])


def test_the_evaluations_of_a_run_folder_are_told_and_no_illness(tmp_path: Path) -> None:
    records = [
        {"batch": i, "env_steps": 2048 * (i + 1), "mean_episode_return": 20.0 + 10 * i}
        for i in range(30)
    ]
    run = {"schema_version": 1, "run": "run0001", "batches": records}
    (tmp_path / "loss_metrics.json").write_text(json.dumps(run))
    rows = [{"batch": b, "mean_return": 9.0} for b in (1, 10, 29, 30)]  # batches finished
    rows += ["torn", {"batch": None}]
    (tmp_path / "evaluations.json").write_text(json.dumps(rows))
    log = read_log(tmp_path)
    assert np.flatnonzero(np.isfinite(log.get("played_return"))).tolist() == [0, 9, 28, 29]
    assert "far worse" in report(log, [])
    assert "statistics_missing_at_evaluation" not in [f.illness for f in diagnose(log)]
    (tmp_path / "evaluations.json").write_text("[{")
    assert not read_log(tmp_path).has("played_return")


@pytest.mark.parametrize(
    ("played", "far"), [(230.0, ""), (350.0, ""), (450.0, "far better"), (20.0, "far worse")]
)
def test_what_lies_near_the_returns_of_training_is_not_far(played: float, far: str) -> None:
    log = foreign(60, mean_episode_return=through((0, 0), (1, 300)), evaluation_return=played)
    told = report(log, [])
    assert f"return in evaluations {played:.0f}" in told and (
        far in told if far else "far" not in told
    )
