"""What the doctor says of runs that are known to be ill, or known not to be."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from insight_runs import SETTINGS, healthy

from ppo.core.metrics import METRICS
from ppo.insight import logs
from ppo.insight.doctor import Watch, diagnose, report, rules, to_json
from ppo.insight.logs import from_records, read_log
from ppo.insight.logs.own import flatten
from ppo.insight.rules import LAST, RULES

SAMPLES = Path(__file__).parent / "samples"
NAMED_IN_CONTRACT = """reward_scale_too_large value_clip_too_tight value_loss_dominates
value_loss_weight_too_small value_loss_exploding learning_rate_too_high learning_rate_too_low
too_many_epochs entropy_collapse entropy_coefficient_too_high observations_unnormalized
no_reward_signal non_finite gradients_always_clipped policy_collapse loss_imbalance dead_units
reward_outlier critic_blind frame_lag time_limit_as_failure ratio_not_one reward_scale_too_small
critic_overfits gamma_horizon batch_too_small actions_out_of_bounds not_learning
statistics_missing_at_evaluation""".split()


def named(records: list[dict], **settings: Any) -> list[str]:
    flat = flatten(SETTINGS) | {key.replace("__", "."): value for key, value in settings.items()}
    return [finding.illness for finding in diagnose(from_records(records, flat))]


@pytest.mark.parametrize("sample", sorted(p.name for p in SAMPLES.iterdir() if p.is_dir()))
def test_every_labelled_sample_is_named_first(sample: str) -> None:
    truth = json.loads((SAMPLES / sample / "label.json").read_text())["truth"]
    found = [finding.illness for finding in diagnose(read_log(SAMPLES / sample))]
    assert found[:1] == truth


def test_there_is_a_rule_for_every_name_and_none_besides() -> None:
    assert sorted(RULES.names()) == sorted(NAMED_IN_CONTRACT)


def test_rules_come_in_causal_order_and_no_two_claim_one_place() -> None:
    claimed = [rule.number for rule in rules() if rule.number != LAST]
    assert claimed == sorted(set(claimed))
    assert rules()[0].illness == "non_finite"


def test_what_a_rule_needs_is_written_by_us_or_read_from_others() -> None:
    """A rule that asks for a figure nobody has could never fire."""
    readers = "".join(file.read_text() for file in Path(logs.__file__).parent.rglob("*.py"))
    ours = {metric.name for metric in METRICS}
    needed = {name for rule in rules() for names in rule.needs for name in names}
    assert {name for name in needed - ours if f'"{name}"' not in readers} == set()


def test_rules_explain_only_illnesses_that_exist() -> None:
    for rule in rules():
        assert set(rule.explains) - {"*"} <= set(RULES.names()), rule.illness
        assert rule.sources, rule.illness


@pytest.mark.parametrize("seed", range(10))
def test_a_healthy_run_has_no_finding(seed: int) -> None:
    assert named(healthy(seed=seed)) == []


def _late(records: list[dict], start: int, **changes: Any) -> list[dict]:
    for record in records[start:]:
        record.update(changes)
    return records


def _flat(records: list[dict]) -> list[dict]:
    """Returns that vary and do not rise."""
    for i, record in enumerate(records):
        record["mean_episode_return"] = -700.0 + 30.0 * math.sin(i * i)
    return records


def _raw_returns(records: list[dict]) -> list[dict]:
    return _late(
        _flat(records),
        0,
        explained_variance=0.01,
        explained_variance_after=0.02,
        error_over_std=1.5,
        bias_share=0.8,
        batches_to_reach=150.0,
        grad_clip_factor=300.0,
        grad_clipped_fraction=1.0,
        target_std=300.0,
        value_to_policy_gradient=4e4,
    )


ILL = {
    "non_finite": lambda r: _late(r, 20, value_loss=None, total_loss=None, approx_kl=None),
    "ratio_not_one": lambda r: _late(r, 0, ratio_first=0.2),
    "value_clip_too_tight": lambda r: _late(
        _flat(r), 0, value_clip_fraction=0.9, explained_variance=0.1
    ),
    "gradients_always_clipped": lambda r: _late(
        _flat(r), 0, grad_clip_factor=60.0, grad_clipped_fraction=1.0
    ),
    "value_loss_dominates": lambda r: _late(
        r, 0, value_to_policy_gradient=3e3, grad_clip_factor=40.0, grad_clipped_fraction=1.0
    ),
    "learning_rate_too_high": lambda r: _late(
        r, 0, approx_kl=0.4, approx_kl_last_epoch=0.4, approx_kl_first_epoch=0.2, clip_fraction=0.6
    ),
    "too_many_epochs": lambda r: _late(
        r,
        0,
        approx_kl=0.04,
        approx_kl_last_epoch=0.09,
        approx_kl_first_epoch=0.01,
        clip_fraction=0.35,
    ),
    "learning_rate_too_low": lambda r: _late(
        _flat(r),
        0,
        approx_kl=1e-7,
        clip_fraction=0.0,
        policy_std=1.0,
        approx_kl_last_epoch=1e-7,
        learning_rate=1e-7,
        explained_variance=0.0,
        success_rate=0.0,
    ),
    "observations_unnormalized": lambda r: _late(r, 0, obs_std_ratio=1e4, saturated_units=0.8),
    "critic_overfits": lambda r: _late(r, 0, explained_variance=0.1, explained_variance_after=0.97),
    "critic_blind": lambda r: _late(
        _flat(r), 0, explained_variance=0.01, explained_variance_after=0.02
    ),
    "frame_lag": lambda r: _late(r, 0, frame_age=5.0),
    "dead_units": lambda r: _late(_flat(r), 10, dead_units=0.5),
    "time_limit_as_failure": lambda r: _late(r, 30, timeout_share=0.0, at_limit_share=0.9),
    "actions_out_of_bounds": lambda r: _late(_flat(r), 0, action_out_of_bounds_share=0.9),
    "no_reward_signal": lambda r: _late(
        r,
        0,
        return_std=0.0,
        return_mean=0.0,
        return_min=0.0,
        return_max=0.0,
        reward_zero_share=1.0,
        mean_episode_return=0.0,
        explained_variance=None,
        error_over_std=None,
        normalized_value_loss=None,
    ),
    "reward_outlier": lambda r: (
        _late(r[:30], 29, return_std=3e5, reward_outlier=1e6) + _late(healthy(60)[30:], 0)
    ),
    "policy_collapse": lambda r: _late(r, 40, mean_episode_return=-700.0),
    "value_loss_weight_too_small": lambda r: _late(
        r,
        0,
        value_loss_weight=1e-6,
        explained_variance=0.0,
        explained_variance_after=0.0,
        grad_clip_factor=0.3,
    ),
    "statistics_missing_at_evaluation": lambda r: _late(r, 30, evaluation_return=-790.0),
}


@pytest.mark.parametrize("illness", sorted(ILL))
def test_an_illness_is_named_first(illness: str) -> None:
    off = {"env__normalize_observations": False} if illness.startswith("obs") else {}
    assert named(ILL[illness](healthy(60)), **off)[:1] == [illness]


@pytest.mark.parametrize("illness", sorted(ILL))
@pytest.mark.parametrize("scale", [2.0**-20, 2.0**20])
def test_the_findings_of_a_scaled_twin_are_the_same(illness: str, scale: float) -> None:
    off = {"env__normalize_observations": False} if illness.startswith("obs") else {}
    twin = ILL[illness](healthy(60))
    for record in twin:
        for key in record:
            if key.startswith(("mean_episode_return", "return_m", "return_std", "evaluation_r")):
                record[key] = None if record[key] is None else record[key] * scale
    assert named(twin, **off) == named(ILL[illness](healthy(60)), **off)


def test_scale_is_blamed_only_where_returns_are_not_normalized() -> None:
    found = named(_raw_returns(healthy(40)), ppo__normalize_returns=False)
    assert found[0] == "reward_scale_too_large"
    assert "gradients_always_clipped" in found  # a consequence, after its cause
    assert "reward_scale_too_large" not in named(_raw_returns(healthy(40)))


def test_value_loss_that_grows_with_the_returns_is_healthy() -> None:
    records = healthy(40)
    for i, record in enumerate(records):
        record["error_over_std"] = 0.4
        record["return_std"] = 10.0 * 1.3**i
        record["value_loss"] = (0.4 * record["return_std"]) ** 2
    assert "value_loss_exploding" not in named(records, ppo__normalize_returns=False)
    for record in records:
        record["return_std"] = 10.0
        del record["error_over_std"], record["normalized_value_loss"]
    assert "value_loss_exploding" in named(records, ppo__normalize_returns=False)


def test_large_gradients_of_a_solved_task_are_left_in_peace() -> None:
    blind = {"grad_clip_factor": 60.0, "grad_clipped_fraction": 1.0, "explained_variance": -2.0}
    blind |= {"value_to_policy_gradient": 500.0}
    ill = _late(_flat(healthy()), 0, **blind, return_mean=100.0, return_std=5.0)
    assert {"gradients_always_clipped", "value_loss_dominates"} & set(named(ill))
    solved = _late(_flat(healthy()), 0, **blind, return_mean=100.0, return_std=0.05)
    assert not {"gradients_always_clipped", "value_loss_dominates"} & set(named(solved))


def test_raw_returns_that_drown_the_policy_are_the_cause_though_the_critic_could_reach_them() -> (
    None
):
    raw = _late(
        _flat(healthy()), 0, explained_variance=0.4, value_to_policy_gradient=3000.0,
        grad_clip_factor=800.0, return_mean=-300.0, return_std=400.0, batches_to_reach=8.0,
        bias_share=0.1, value_rmse=310.0,
    )  # fmt: skip
    off = {"ppo__normalize_returns": False}
    assert named(raw, **off)[0] == "reward_scale_too_large"
    assert "reward_scale_too_large" not in named(raw)


@pytest.mark.parametrize(
    ("first_epoch", "illness"), [(0.02, "too_many_epochs"), (0.2, "learning_rate_too_high")]
)
def test_a_kl_that_grows_over_the_epochs_is_theirs(first_epoch: float, illness: str) -> None:
    jumps = _late(
        _flat(healthy()), 5, approx_kl=0.25, clip_fraction=0.35, approx_kl_last_epoch=0.4,
        approx_kl_first_epoch=first_epoch,
    )  # fmt: skip
    assert named(jumps)[0] == illness


def test_a_critic_of_next_to_no_weight_is_starved_though_its_last_layer_moves() -> None:
    starved = _late(
        healthy(), 0, explained_variance=-0.5, explained_variance_after=0.1,
        effective_value_weight=1e-5, value_loss_weight=1e-5,
    )  # fmt: skip
    assert "value_loss_weight_too_small" in named(starved)
    assert "value_loss_weight_too_small" not in named(
        _late(starved, 0, effective_value_weight=0.25)
    )


def test_imbalance_names_the_loss_that_stands_still() -> None:
    records = healthy(60)
    for i, record in enumerate(records):
        record["components"] = {
            "wide": {"loss": 15.9, "weight": 1.0},
            "small": {"loss": 10.0 * 0.97**i, "weight": 1.0},
        }
    (finding,) = diagnose(from_records(records, flatten(SETTINGS)))
    assert finding.illness == "loss_imbalance" and finding.evidence.startswith("wide")
    for record in records[:3]:  # a bonus that no episode had reached yet
        record["components"]["wide"]["loss"] = 0.0
    assert not diagnose(from_records(records, flatten(SETTINGS)))
    for record in records:  # one that never pays
        record["components"]["wide"]["loss"] = 0.0
    assert not diagnose(from_records(records, flatten(SETTINGS)))


def test_no_remedy_is_what_the_run_has_already() -> None:
    log = from_records(
        _raw_returns(healthy(40)),
        {"ppo.normalize_returns": False} | {"ppo.value_loss_weight": 0.25},
    )
    assert "value_loss_weight=0.25" not in diagnose(log)[0].remedy


def test_json_holds_exactly_the_contract() -> None:
    log = from_records(_raw_returns(healthy(40)), {"ppo.normalize_returns": False})
    document = json.loads(to_json(log, diagnose(log)))
    assert list(document)[:6] == [
        "status", "writer", "batches", "rules_asked", "rules_total", "findings"
    ]  # fmt: skip
    assert document["status"] == "ill" and document["batches"] == 40
    assert 10 < document["rules_asked"] <= document["rules_total"]
    assert 1 <= len(document["findings"]) <= 3
    for finding in document["findings"]:
        assert list(finding) == ["illness", "severity", "since_batch", "evidence", "remedy"]


def test_the_report_says_what_was_not_asked() -> None:
    text = report(read_log(SAMPLES / "h_pendulum"), [])
    assert "healthy" in text and "gradients_always_clipped" in text.split("not asked")[1]


def test_watch_warns_once_and_keeps_a_bounded_history() -> None:
    watch = Watch(flatten(SETTINGS))
    warned = []
    for record in ILL["learning_rate_too_high"](healthy(1000)):
        warned += [finding.illness for finding in watch.update(record)]
        assert len(watch._records) <= 2 * Watch.WINDOW + 1
    assert warned.count("learning_rate_too_high") == 1
    assert len(warned) == len(set(warned))


def test_watch_is_silent_on_a_healthy_run_and_quick_on_a_fatal_one() -> None:
    watch = Watch(flatten(SETTINGS))
    for record in healthy(300, seed=3):
        assert watch.update(record) == []
    broken = healthy(301, seed=3)[-1] | {"value_loss": float("nan")}
    assert [finding.illness for finding in watch.update(broken)] == ["non_finite"]


@pytest.mark.parametrize("sample", ["h_pendulum", "h_cartpole", "c_h_cartpole"])
def test_a_healthy_run_is_healthy_at_every_length(sample: str) -> None:
    whole = read_log(SAMPLES / sample)
    for rows in range(1, len(whole), 1 + len(whole) // 50):
        part = replace(
            whole,
            batches=whole.batches[:rows],
            columns={name: column[:rows] for name, column in whole.columns.items()},
            nonfinite={name: marks[:rows] for name, marks in whole.nonfinite.items()},
        )
        assert diagnose(part) == []


def test_the_horizon_is_that_of_the_discount_in_force() -> None:
    """Episodes of 150 steps: 0.9999 looks far beyond them, unless the discount follows them."""
    blind = {"explained_variance": 0.1, "explained_variance_after": 0.1}
    far = {"ppo__gamma": 0.9999}
    assert "gamma_horizon" in named(_late(_flat(healthy()), 0, **blind), **far)
    assert "gamma_horizon" in named(_late(_flat(healthy()), 0, **blind, gamma=0.9999))
    assert "gamma_horizon" not in named(_late(_flat(healthy()), 0, **blind, gamma=0.99), **far)
