"""Logs written, thinned or resumed in odd ways: the verdict is that of the same run in full."""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from insight_runs import event_file
from made_logs import first

from ppo.insight.doctor import diagnose, report, to_json
from ppo.insight.logs import MetricsLog, from_records, read_log
from ppo.insight.logs.dialects import interpret
from ppo.insight.logs.series import Series
from ppo.insight.verdict import status

ROWS = 40
BATCH = 2048


def sb3(**more: Any) -> dict[str, np.ndarray]:
    """[rows] of each tag: a healthy run, whose return rises by 5 a batch."""
    row = np.arange(1, ROWS + 1)
    tags = {
        "time/iterations": row,
        "rollout/ep_rew_mean": 5.0 * row + row % 3,
        "rollout/ep_len_mean": 200.0,
        "train/approx_kl": 0.01,
        "train/clip_fraction": 0.1,
        "train/clip_range": 0.2,
        "train/explained_variance": 0.6,
        "train/policy_gradient_loss": -0.01,
        "train/value_loss": 4.0,
        "train/entropy_loss": -0.6 + 0.005 * row,
        "train/learning_rate": 3e-4,
        "train/n_updates": 10.0 * (row - 1),
    } | more
    return {tag: np.broadcast_to(value, row.shape).astype(float) for tag, value in tags.items()}


def series_of(tags: dict[str, np.ndarray], unit: float = 1.0, every: int = 1) -> Series:
    steps = BATCH * np.arange(1, ROWS + 1) / unit
    keep = slice(every - 1, None, every)
    return Series({tag: np.stack([steps, values], 1)[keep] for tag, values in tags.items()})


def read(tags: dict[str, np.ndarray], unit: float = 1.0, every: int = 1) -> MetricsLog:
    return interpret(series_of(tags, unit, every))


@pytest.mark.parametrize("unit", [1e6, 1e3, BATCH])
def test_an_axis_that_counts_no_steps_makes_no_batch_tiny(unit: float) -> None:
    log = read(sb3(), unit)
    assert not log.has("env_steps") and first(log) == "healthy"
    assert read(sb3()).get("env_steps")[-1] == ROWS * BATCH
    assert first(read(sb3(**{"rollout/ep_len_mean": 9.0}), BATCH / 16)) == "batch_too_small"


def test_episodes_longer_than_the_axis_show_that_it_counts_no_steps() -> None:
    few = read(sb3(**{"rollout/ep_len_mean": 900.0}), unit=BATCH / 16)  # 640 steps at the end
    assert not few.has("env_steps") and first(few) == "healthy"


@pytest.mark.parametrize(("missing", "filled"), [(1, True), (2, True), (3, False)])
def test_a_short_gap_is_spanned_and_a_long_one_is_not(missing: int, filled: bool) -> None:
    loss = np.arange(10.0, 10.0 + ROWS)
    loss[20 : 20 + missing] = np.nan
    column = read(sb3(**{"train/value_loss": loss})).get("value_loss")[:-1]  # told a row late
    assert np.isfinite(column).all() == filled
    assert not filled or (column[19 : 19 + missing] == column[18]).all()


@pytest.mark.parametrize(("last", "ill"), [(3, False), (4, True)])
def test_a_nan_at_the_end_is_a_gap_where_as_long_a_one_has_passed(last: int, ill: bool) -> None:
    losses = ("train/value_loss", "train/policy_gradient_loss", "train/entropy_loss")
    tags = sb3()
    for tag in losses:
        tags[tag] = tags[tag].copy()
        tags[tag][10:13] = tags[tag][ROWS - last :] = np.nan
    assert (first(read(tags)) == "non_finite") == ill


def test_a_nan_that_passes_was_a_gap_and_one_that_stays_is_an_illness() -> None:
    losses = ("train/value_loss", "train/policy_gradient_loss", "train/entropy_loss")
    gaps = sb3()
    for place, tag in enumerate((*losses, "rollout/ep_rew_mean")):
        gaps[tag] = gaps[tag].copy()
        gaps[tag][[7 + place, 20 + place]] = np.nan
    assert first(read(gaps)) == "healthy"
    for since in (30, ROWS - 1):  # to the end, or in the last batch before a crash
        broken = sb3()
        for tag in losses:
            broken[tag] = np.where(np.arange(ROWS) < since, broken[tag], np.nan)
        assert first(read(broken)) == "non_finite"
    alone = sb3()
    alone["train/value_loss"] = np.where(np.arange(ROWS) < ROWS - 1, 4.0, np.nan)
    assert first(read(alone)) == "healthy"


def test_returns_of_episodes_that_did_not_end_are_no_illness_of_rllib() -> None:
    returns = np.where(np.arange(ROWS) % 4 == 3, np.nan, 3.0 * np.arange(ROWS))
    tags = {"episode_reward_mean": returns, "info/learner/default_policy/learner_stats/kl": 0.01}
    steps = 4000.0 * np.arange(1, ROWS + 1)
    points = {t: np.stack([steps, np.broadcast_to(v, ROWS)], 1) for t, v in tags.items()}
    log = interpret(Series(points))
    assert log.writer == "rllib" and first(log) == "healthy"


def test_an_infinite_loss_is_an_illness_though_it_passes() -> None:
    tags = sb3()
    tags["train/value_loss"] = np.where(np.arange(ROWS) == 9, np.inf, 4.0)
    assert first(read(tags)) == "non_finite"


def test_every_tenth_batch_has_the_epochs_and_the_steps_of_one() -> None:
    jumpy = sb3(**{"train/approx_kl": 0.035, "train/clip_fraction": 0.25})
    for every in (1, 2, 5):
        log = read(jumpy, every=every)
        assert log.setting("ppo.num_epochs") == 10 and log.updates() == pytest.approx(ROWS, abs=5)
        assert np.median(log.batch_steps()[1:]) == BATCH
        assert first(log) == "healthy"
    many = sb3(**{"train/n_updates": 60.0 * np.arange(ROWS)})
    assert read(many, every=5).setting("ppo.num_epochs") == 60


def test_a_row_that_is_missing_doubles_no_epochs() -> None:
    series = series_of(sb3())
    series.points["train/n_updates"] = np.delete(series.points["train/n_updates"], [9, 17], 0)
    assert interpret(series).setting("ppo.num_epochs") == 10


def test_cells_that_are_missing_hide_no_illness() -> None:
    still = {"train/approx_kl": 1e-7, "train/clip_fraction": 0.0, "train/learning_rate": 1e-6}
    still |= {"train/entropy_loss": -0.69, "rollout/ep_rew_mean": 9.0 + np.arange(ROWS) % 3}
    frozen = sb3(**still)
    series = series_of(frozen)
    rng = np.random.default_rng(0)
    for tag in ("train/approx_kl", "train/clip_fraction"):
        series.points[tag] = series.points[tag][rng.random(ROWS) > 0.15]
    log = interpret(series)
    assert np.isnan(log.get("approx_kl")).sum() <= 2, "gaps are bridged, the end is not"
    assert first(log) == "learning_rate_too_low"


@pytest.mark.parametrize("name", ["0.monitor.csv", "episodes.csv"])
def test_a_monitor_keeps_together_what_stands_in_one_line(tmp_path: Path, name: str) -> None:
    lines = [f"{i}.0,{10 + i % 2},{i}.5" for i in range(100)]
    lines[10], lines[20], lines[30] = ",11,10.5", "20.0,,20.5", "nan,10,30.5"
    text = '#{"t_start": 0.0}\nr,l,t\n' + "\n".join(lines) + "\n"
    (tmp_path / name).write_text(text)
    log = read_log(tmp_path)
    assert any("97 episodes" in note for note in log.notes)
    assert np.isfinite(log.get("mean_episode_return")).all()
    assert log.get("mean_episode_return")[-1] == pytest.approx(97.0, abs=1.0)


def test_figures_beyond_all_squares_warn_of_nothing(tmp_path: Path) -> None:
    """A user reads the doctor's lines, not numpy's."""
    steps = [1000.0 * i for i in range(1, 39)] + [math.inf, math.inf]
    rows = [{"step": s, "reward": (-1) ** i * 1e300} for i, s in enumerate(steps)]
    (tmp_path / "log.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        log = read_log(tmp_path)
        assert "40 batches" not in report(log, diagnose(log)) and to_json(log, [])


def test_a_negative_entropy_is_that_of_no_choice() -> None:
    falling = np.linspace(1.07, -0.6, ROWS)  # of one action number, as it goes on
    steps = 1000.0 * np.arange(1, ROWS + 1)
    points = {
        "losses/entropy": falling,
        "losses/a_loss": 0 * falling,
        "info/kl": 0 * falling + 0.01,
    }
    points["rewards/step"] = 10.0 * np.arange(ROWS)
    log = interpret(Series({tag: np.stack([steps, v], 1) for tag, v in points.items()}))
    assert not log.has("entropy_relative") and first(log) == "healthy"


def test_what_a_resumed_run_did_again_replaces_what_was_there(tmp_path: Path) -> None:
    def part(name: str, rows: range, value: float) -> None:
        points = [(1000 * (i + 1) - int(value), value) for i in rows]
        event_file(tmp_path / name, {"train/loss_objective": points, "train/reward": points})

    part("events.out.tfevents.1700000001.a", range(20), 1.0)
    part("events.out.tfevents.1700000002.a", range(12, 30), 2.0)
    log = read_log(tmp_path)
    assert log.get("mean_episode_return").tolist() == [1.0] * 12 + [2.0] * 18


def test_evaluations_stand_for_returns_that_are_not_logged() -> None:
    tags = sb3()
    noise = np.random.default_rng(0).normal(size=ROWS)
    tags["eval/mean_reward"] = np.linspace(-50, -40, ROWS) + 2 * noise
    del tags["rollout/ep_rew_mean"]
    log = read(tags)
    assert log.has("mean_episode_return") and "evaluations stand" in " ".join(log.notes)
    assert status(log, diagnose(log)) == "healthy", "their noise is hidden by no mean of 100"


def test_one_episode_without_a_return_leaves_the_others_of_its_batch() -> None:
    ends = np.arange(64.0, 4097.0, 64.0)
    returns = np.where(np.arange(64) % 7 == 3, np.nan, 5.0)
    losses = np.stack([512.0 * np.arange(1, 9), np.full(8, 0.1)], 1)
    points = {"charts/episodic_return": np.stack([ends, returns], 1), "losses/value_loss": losses}
    log = interpret(Series(points | {"losses/clipfrac": losses}))
    assert log.writer == "cleanrl" and log.get("mean_episode_return").tolist() == [5.0] * 8


@pytest.mark.parametrize(
    ("std", "entropy", "narrow"),
    [(0.037, -1.3, False),  # one action under gSDE: more than its std would have
     (0.037, -1.9, True), (0.037, -5.6, True),  # one and three independent actions
     (0.9, 1.2, False)],
)  # fmt: skip
def test_a_deviation_of_gsde_is_that_of_weights_and_no_narrow_policy(
    std: float, entropy: float, narrow: bool
) -> None:
    spread = {"train/std": std, "train/entropy_loss": -entropy}
    log = read(sb3(**{"rollout/ep_rew_mean": -100.0 + np.arange(ROWS) % 7}, **spread))
    assert ("entropy_collapse" in [finding.illness for finding in diagnose(log)]) is narrow
    assert any("gSDE" in note for note in log.notes) is (std < 0.1 and not narrow)


@pytest.mark.parametrize(
    "odd",
    [None, "1.5", "x", [1, 2], {"a": 1}, True, pytest.param(10**400, id="huge"), float("inf")],
)
def test_a_record_may_hold_what_is_no_number(odd: Any) -> None:
    figures = [odd, 2.0, odd]
    log = from_records([{"batch": i, "value_loss": v, "kl": odd} for i, v in enumerate(figures)])
    expected = {"1.5": 1.5, "True": 1.0}.get(str(odd), np.nan)
    np.testing.assert_array_equal(log.get("value_loss"), [expected, 2.0, expected])
    np.testing.assert_array_equal(log.get("kl"), [expected] * 3)
    endless = odd in (10**400, float("inf"))
    assert log.nonfinite["kl"].tolist() == [endless] * 3
    alone = from_records([{"kl": odd}] * 2)
    np.testing.assert_array_equal(alone.get("kl"), [expected] * 2)
    assert len(from_records([])) == 0
